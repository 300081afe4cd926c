-- The role of who only reads: it may ask the desk, and nothing else. A token with "role":
-- "smsretry_reader" is its key.
do $$
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
    grant execute on function public.ask_sms_desk to smsretry_reader;
end
$$;
