-- Sample numbers, their last four digits zeros, zones and consent of customers, for `smsretry doctor` and
-- `smsretry migrate`. From pages all over the table, so that a large one costs no more.
create or replace function public.sample_sms_customers()
returns jsonb
language plpgsql stable set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_custom_plan as $$
declare
    k_most constant integer := 2000;
    v_customers constant real := (
        select greatest(c.reltuples, 1)
        from pg_class c
        where c.oid = 'public.customers'::regclass
    );
begin
    return (
        select coalesce(jsonb_agg(to_jsonb(s)), '[]')
        from (
            select
                regexp_replace(
                    left(c.phone, 40),
                    '[0-9]{4}([^0-9]*)$',
                    '0000\1'
                ) as phone,
                left(c.timezone, 100) as timezone,
                smsretry.numberless(smsretry.consent(c.sms_consent_status::text)) as consent
            from public.customers c tablesample system (
                least(200.0 * k_most / v_customers, 100)
            )
            where c.phone <> ''
            limit k_most
        ) s
    );
end
$$;
