-- List for sms_report what happened between these.
--   what: delivered, undelivered, unknown or open (smsretry.delivery_of) of what the provider
--     accepted; failed or cancelled; opted_out, of customers
--   reason: the provider's code (0: without one), smsretry.why_code, or the source of the consent
create or replace function smsretry.report_facts(since timestamptz, until timestamptz)
returns table (
    at timestamptz,
    what text,
    reason text,
    why text,
    business_id uuid,
    customer_id uuid,
    retry_id uuid,
    segments integer
)
language plpgsql stable set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_custom_plan as $$
#variable_conflict use_column
begin
    return query
    select
        a.begun_at,
        smsretry.delivery_of(a.delivery_status),
        coalesce(a.delivery_code, 0)::text,
        q.last_error,
        a.business_id,
        q.customer_id,
        a.retry_id,
        a.segments
    from public.sms_send_attempts a
    join public.sms_retry_queue q on q.id = a.retry_id
    where a.begun_at between report_facts.since and report_facts.until
      and a.outcome = 'accepted'
    union all
    select
        q.updated_at,
        q.status,
        coalesce(q.why_code::text, 'application'),
        q.last_error,
        q.business_id,
        q.customer_id,
        q.id,
        null
    from public.sms_retry_queue q
    where q.updated_at between report_facts.since and report_facts.until
      and q.status in ('failed', 'cancelled')
    union all
    select
        s.updated_at,
        s.status::text,
        coalesce(s.why_code::text, 'application'),
        s.why,
        s.business_id,
        s.customer_id,
        s.id,
        null
    from public.scheduled_sends s
    where s.updated_at between report_facts.since and report_facts.until
      and s.status in ('failed', 'cancelled')
      and s.send_log_id is null
    union all
    select
        c.sms_consent_at,
        'opted_out',
        left(c.sms_consent_source::text, 40),
        null,
        c.business_id,
        c.id,
        null,
        null
    from public.customers c
    where c.sms_consent_at between report_facts.since and report_facts.until
      and c.sms_consent_status::text = 'opted_out';
end
$$;
