-- Analyze tables that PostgreSQL takes for empty although they are not, or has never counted, as after
-- a restore. It analyzed them while many rows were inserted and not committed, and until it does so
-- again, each look-up would read whole tables. security definer: the tables are not the backend's.
create or replace function smsretry.analyze_filled()
returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    v_table regclass;
begin
    for v_table in
        select c.oid
        from pg_class c
        where c.relnamespace = 'public'::regnamespace
          and c.relname in (
              'businesses',
              'customers',
              'send_logs',
              'scheduled_sends',
              'sms_retry_queue',
              'sms_send_attempts'
          )
          and c.reltuples <= 0
          and pg_stat_get_live_tuples(c.oid) > 0
    loop
        execute format('analyze (skip_locked) %s', v_table);
    end loop;
exception
    when query_canceled or others then
        null; -- no run fails for it
end
$$;
