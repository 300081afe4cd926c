-- Only the backend calls the functions and reads the tables in the schema smsretry. Default privileges may be wide.
revoke all on all functions in schema smsretry from public, anon, authenticated;
grant execute on all functions in schema smsretry to service_role;
revoke all on all tables in schema smsretry from public, anon, authenticated;
grant select on all tables in schema smsretry to service_role;
grant insert on smsretry.consents, smsretry.events, smsretry.imported_files, smsretry.restores to service_role;
grant insert, update on smsretry.inbound_texts, smsretry.runs to service_role;
grant insert, update, delete on smsretry.mark, smsretry.senders, smsretry.business_senders, smsretry.stops, smsretry.turns to service_role;

-- Triggers fire in statements of the application's, too. They plan as our functions in public do.
do $$
declare
    version regprocedure;
begin
    for version in
        select p.oid::regprocedure from pg_catalog.pg_proc p
        where p.pronamespace = 'smsretry'::regnamespace and p.prorettype = 'trigger'::regtype
    loop
        execute format('alter function %s set random_page_cost = 0.1', version);
    end loop;
end
$$;
