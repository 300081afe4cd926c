-- For a person: who wrote what may mean stop, and nobody has said yet what it means, at which business; the oldest first. Its words
-- are at the provider, by their SID; record_sms_consent records what they mean. held: texts that wait for it.
create or replace function public.unread_sms_words(row_limit integer default 500)
returns table (
    twilio_sid text, heard_at timestamptz, customer_id uuid, number text, business_id uuid, business text, held bigint
)
language plpgsql stable security invoker set search_path = pg_catalog, pg_temp set plan_cache_mode = force_custom_plan as $$
begin
    return query
    select w.twilio_sid,
           w.heard_at,
           w.customer_id,
           smsretry.masked(w.phone),
           w.business_id,
           left(b.name, 200),
           (select count(*)
            from public.sms_retry_queue q
            where q.customer_id = w.customer_id
              and q.work is not null
              and q.why_code = 'words_unread')
    from smsretry.unread_words w
    left join public.businesses b on b.id = w.business_id
    order by w.heard_at, w.twilio_sid, w.customer_id
    limit unread_sms_words.row_limit;
end
$$;
