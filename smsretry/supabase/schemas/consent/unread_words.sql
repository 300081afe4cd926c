-- List words that may mean stop, the first for each customer whose marketing texts they hold: who is
-- named, who has the number that wrote them, and whose text waits because of them.
create or replace function smsretry.unread_words()
returns table (
    twilio_sid text,
    received_at timestamptz,
    phone text,
    customer_id uuid,
    business_id uuid
)
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
begin
    return query
    select
        (o.word).twilio_sid,
        (o.word).dated,
        c.phone::text,
        c.id,
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
        where w.phone is not null
        union
        select q.customer_id
        from public.sms_retry_queue q
        where q.work in ('texts', 'suspect') and q.why_code = 'words_unread'
    ) u
    join public.customers c on c.id = u.customer_id
    cross join lateral (
        select a.word
        from smsretry.objections(array[c.business_id], array[c.phone::text], array[c.id]) a
        limit 1
    ) o
    where (o.word).said = 'unsure'
      and smsretry.consent(c.sms_consent_status::text) is distinct from 'opted_out';
end
$$;
