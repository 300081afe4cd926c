-- A row of this business has been written since `began`, or could not be (state: its SQLSTATE). The business is left alone
-- ten times as long, ten minutes at most, so that its triggers take a tenth of everybody's time. Never waits, never fails.
create or replace function smsretry.set_business_apart(business_id uuid, began timestamptz, state text, at timestamptz)
returns void language plpgsql set search_path = pg_catalog, pg_temp set lock_timeout = '50ms' as $$
#variable_conflict use_column
declare
    v_seconds constant numeric := extract(epoch from clock_timestamp() - set_business_apart.began);
begin
    insert into smsretry.set_apart as s (business_id, at, retry_at, why)
    values (
        set_business_apart.business_id, set_business_apart.at,
        set_business_apart.at + least(make_interval(secs => 10 * v_seconds::double precision), interval '10 minutes'),
        case when set_business_apart.state is null or set_business_apart.state = '57014'
             then 'A row took ' || round(v_seconds, 1) || ' s to write'
             else 'A row could not be written (' || set_business_apart.state || ')' end
            || ': look at the triggers of sms_retry_queue')
    on conflict (business_id) do update set at = excluded.at, retry_at = excluded.retry_at, why = excluded.why;
exception when others then
    raise warning 'Business % could not be set apart: %', set_business_apart.business_id, sqlstate;
end
$$;
