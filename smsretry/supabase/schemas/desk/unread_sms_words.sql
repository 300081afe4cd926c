-- List for a person who wrote what may mean stop, at each business that has not said yet what it
-- means; the oldest first. The words are at the provider, by their SID; record_sms_consent records
-- what they mean.
create or replace function public.unread_sms_words()
returns table (
    twilio_sid text,
    received_at timestamptz,
    customer_id uuid,
    number text,
    business_id uuid,
    business text
)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_custom_plan as $$
begin
    return query
    select
        w.twilio_sid,
        w.received_at,
        w.customer_id,
        smsretry.masked(w.phone),
        w.business_id,
        left(b.name, 200)
    from smsretry.unread_words w
    left join public.businesses b on b.id = w.business_id
    order by w.received_at, w.twilio_sid, w.customer_id
    limit 500;
end
$$;
