-- List the texts and scheduled sends that failed or were cancelled between these. What smsretry did
-- not end, the application did.
create or replace function smsretry.ended_texts(since timestamptz, until timestamptz)
returns table (
    at timestamptz,
    state text,
    why_code text,
    why text,
    business_id uuid,
    customer_id uuid,
    retry_id uuid
)
language plpgsql stable set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_custom_plan as $$
#variable_conflict use_column
begin
    return query
    select
        q.updated_at,
        q.status,
        coalesce(q.why_code::text, 'application'),
        q.last_error,
        q.business_id,
        q.customer_id,
        q.id
    from public.sms_retry_queue q
    where q.updated_at between ended_texts.since and ended_texts.until
      and q.status in ('failed', 'cancelled')
    union all
    select
        s.updated_at,
        s.status::text,
        coalesce(s.why_code::text, 'application'),
        s.why,
        s.business_id,
        s.customer_id,
        s.id
    from public.scheduled_sends s
    where s.updated_at between ended_texts.since and ended_texts.until
      and s.status in ('failed', 'cancelled')
      and s.send_log_id is null;
end
$$;
