-- Only the backend calls our functions, and reads the tables in the schema smsretry: a Supabase
-- project lets everybody call a new function in public, and default privileges may be wide. A call
-- in public is ours if it has sms in its name and our search_path.
revoke all on all functions in schema smsretry from public, anon, authenticated;
grant execute on all functions in schema smsretry to service_role;
revoke all on all tables in schema smsretry from public, anon, authenticated;
grant select on all tables in schema smsretry to service_role;
grant insert on smsretry.consents, smsretry.events, smsretry.restores to service_role;
grant update (phone, was, mark_at) on smsretry.consents to service_role;
grant insert, update on smsretry.runs to service_role;
grant insert, update, delete on smsretry.mark, smsretry.senders, smsretry.business_senders, smsretry.stops, smsretry.turns to service_role;

-- PostgREST keeps its connections, and PL/pgSQL keeps on each the plans that were made when it was
-- first called
-- (https://www.postgresql.org/docs/current/plpgsql-implementation.html#PLPGSQL-PLAN-CACHING). A
-- plan that was made while the tables were small reads them whole when a day's texts have come at
-- once, until autovacuum comes; one that was made while a table had no page at all reads it whole
-- for good. So calls that look rows up plan as if an index were almost free, and read whole only
-- what has no index; those that read much say themselves that each statement is planned anew. Our
-- triggers plan so, too, because they fire in statements of the application's; and a trigger of the
-- application's that fires first in such a call does. (jit: no plan is as dear as it looks then.)
do $$
declare
    ours record;
begin
    for ours in
        select
            p.oid::regprocedure as name,
            exists (
                select from unnest(p.proconfig) s (setting)
                where s.setting like 'plan\_cache\_mode=%'
            ) as reads_much
        from pg_catalog.pg_proc p
        where p.pronamespace = 'smsretry'::regnamespace
          and p.prorettype = 'trigger'::regtype
          or p.pronamespace = 'public'::regnamespace
              and p.proname ~ '(^|_)sms(_|$)'
              and 'search_path=pg_catalog, pg_temp' = any (p.proconfig)
    loop
        execute format(
            'revoke all on function %1$s from public, anon, authenticated; grant execute on function %1$s to service_role',
            ours.name
        );
        if not ours.reads_much then
            execute format(
                'alter function %s set random_page_cost = 0.1 set enable_seqscan = off set jit = off',
                ours.name
            );
        end if;
    end loop;
end
$$;
