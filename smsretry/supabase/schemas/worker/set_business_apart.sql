-- A row of this business took so many seconds to write, or could not be written at all (state: its SQLSTATE). Ten times as
-- long it is left alone, ten minutes at the most: so nobody's trigger has more than a tenth of the time of all.
-- Never waits and never fails: to note it is worth less than what the caller has in hand.
create or replace function smsretry.set_business_apart(business_id uuid, seconds double precision, state text, at timestamptz)
returns void language plpgsql set search_path = pg_catalog, pg_temp set lock_timeout = '50ms' as $$
#variable_conflict use_column
begin
    insert into smsretry.set_apart as s (business_id, at, retry_at, why)
    values (
        set_business_apart.business_id, set_business_apart.at,
        set_business_apart.at + least(make_interval(secs => 10 * set_business_apart.seconds), interval '10 minutes'),
        case when set_business_apart.state is null or set_business_apart.state = '57014'
             then 'A row took ' || round(set_business_apart.seconds::numeric, 1) || ' s to write'
             else 'A row could not be written (' || set_business_apart.state || ')' end
            || ': look at the triggers of sms_retry_queue')
    on conflict (business_id) do update set at = excluded.at, retry_at = excluded.retry_at, why = excluded.why;
exception when others then
    raise warning 'Business % could not be set apart: %', set_business_apart.business_id, sqlstate;
end
$$;

revoke all on function smsretry.set_business_apart from public, anon, authenticated;
grant execute on function smsretry.set_business_apart to service_role;
