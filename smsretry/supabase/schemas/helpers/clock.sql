-- Tell the time, by the one clock that decides what is due, stale and expired. The embedded stack
-- alone has another clock, which it can move, and keeps that one.
do $do$
begin
    if to_regclass('smsretry_local.clock') is null or to_regprocedure('smsretry.clock()') is null then
        create or replace function smsretry.clock()
        returns timestamptz language sql volatile set search_path = pg_catalog, pg_temp as $$
            select pg_catalog.clock_timestamp()
        $$;
    end if;
end
$do$;
