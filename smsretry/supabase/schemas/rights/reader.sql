-- The role of who only reads: it may ask the desk's questions, and nothing else. A token with "role":
-- "smsretry_reader" is its key. The questions are security definer: their answers are made from
-- numbers and bodies, which a role that asked as itself could read, too; and the application's
-- tables would need policies and grants for it.
do $$
declare
    question regprocedure;
begin
    if not exists (
        select from pg_catalog.pg_roles
        where rolname = 'smsretry_reader'
    ) then
        begin
            create role smsretry_reader nologin noinherit;
        exception
            when duplicate_object or unique_violation then
                null; -- another database of this server makes it at this moment
            when insufficient_privilege then
                raise warning 'There is no role smsretry_reader, because % may create none: reading needs the service key. A role that may can run: create role smsretry_reader nologin noinherit; grant smsretry_reader to authenticator; then run `smsretry migrate --again`',
                    current_user;
                return;
        end;
    end if;
    if not exists (
        select from pg_catalog.pg_roles r
        where r.rolname = 'authenticator'
          and pg_has_role(r.oid, 'smsretry_reader', 'member')
    ) then
        begin
            grant smsretry_reader to authenticator;
        exception
            when insufficient_privilege or undefined_object then
                raise warning 'A token of the role smsretry_reader is refused until a role that may runs: grant smsretry_reader to authenticator';
        end;
    end if;
    grant usage on schema public to smsretry_reader;
    for question in
        select p.oid
        from pg_catalog.pg_proc p
        where p.pronamespace = 'public'::regnamespace
          and 'search_path=pg_catalog, pg_temp' = any (p.proconfig)
          and p.proname in (
              'explain_sms',
              'list_sms',
              'preview_sms_retries',
              'sms_businesses',
              'sms_report',
              'sms_senders',
              'sms_status',
              'unread_sms_words'
          )
    loop
        execute format('grant execute on function %s to smsretry_reader', question);
    end loop;
end
$$;
