-- List words that may mean stop, the first for each customer whose marketing texts they hold: who is
-- named, who has the number that wrote them, and whose text waits because of them. A view, so that
-- each question plans it anew: PL/pgSQL keeps one plan of a query that has no parameters.
create or replace view smsretry.unread_words with (security_invoker = true) as
select
    (o.word).twilio_sid as twilio_sid,
    (o.word).dated as received_at,
    c.phone::text as phone,
    c.id as customer_id,
    c.business_id
from (
    select w.customer_id
    from smsretry.standing_words w
    where w.said = 'unsure' and w.customer_id is not null
    union
    select k.id
    from smsretry.consents w
    cross join lateral (
        select h.id
        from public.customers h
        where h.phone = w.phone
        offset 0 -- by the number's index, whatever the statistics are
    ) k
    where w.said = 'unsure' and w.phone is not null
    union
    select q.customer_id
    from public.sms_retry_queue q
    where q.work in ('texts', 'suspect') and q.why_code = 'words_unread'
) u
cross join lateral (
    select h.*
    from public.customers h
    where h.id = u.customer_id
    offset 0 -- else all customers may be asked about
) c
cross join lateral (
    select a.word
    from smsretry.objections(array[c.business_id], array[c.phone::text], array[c.id]) a
    limit 1
) o
where (o.word).said = 'unsure'
  and smsretry.consent(c.sms_consent_status::text) is distinct from 'opted_out';
