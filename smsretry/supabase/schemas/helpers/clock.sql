-- The one clock: it decides what is due, stale and expired. Only the embedded stack has another one, which moves, and keeps it.
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
