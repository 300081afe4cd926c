-- What may mean stop and nobody has read, for each customer who may have written it and has not opted out since.
create or replace view smsretry.unread_words with (security_invoker = true) as
select t.twilio_sid,
       t.heard_at,
       t.phone,
       c.id as customer_id,
       c.business_id
from smsretry.inbound_texts t
cross join lateral (
    select o.id, o.business_id
    from public.customers o
    where o.phone = t.phone
      and o.sms_consent_status::text is distinct from 'opted_out'
    offset 0) c -- by the number's index, whatever the statistics are
where t.phone is not null
  and smsretry.is_unread(t, c.business_id);
