-- The home of everything internal. PostgREST does not expose it: the API is the functions in
-- public.
create schema if not exists smsretry;
-- Said once, at first: remove.sql switches off what was off.
do $$
declare
    v_was_off constant text := ' Row level security of sms_retry_queue was off before.';
begin
    if obj_description('smsretry'::regnamespace) is null then
        execute format(
            'comment on schema smsretry is %L',
            'Internals of the SMS retry queue. Not exposed by PostgREST.'
                || coalesce(
                    (
                        select v_was_off
                        from pg_catalog.pg_class c
                        where c.oid = to_regclass('public.sms_retry_queue')
                          and not c.relrowsecurity
                    ),
                    ''
                )
        );
    end if;
end
$$;

-- A tenant's insert needs nothing in it: its trigger does what it does as the owner.
revoke all on schema smsretry from public, anon, authenticated;
grant usage on schema smsretry to service_role;
