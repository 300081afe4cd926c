-- What a Supabase project holds before its first migration, as far as migrations rely on it: the roles, the schema auth
-- with its users and helpers, and the publication of Realtime. A new table is granted to nobody (changelog 45329).
-- Idempotent.
-- Sources: supabase/postgres, migrations/db/init-scripts/00000000000000-initial-schema.sql and
-- 00000000000001-auth-schema.sql; https://supabase.com/docs/guides/database/postgres/roles,
-- https://supabase.com/docs/guides/auth/managing-user-data, https://supabase.com/docs/guides/realtime/postgres-changes
--
-- One difference: on Supabase `postgres` is not a superuser, here it is.

do $$
declare
    wanted record;
begin
    for wanted in
        select * from (values
            ('anon', 'nologin noinherit'),                   -- a request without a user
            ('authenticated', 'nologin noinherit'),          -- a request of a signed-in user
            ('service_role', 'nologin noinherit bypassrls'), -- a request of the backend
            ('authenticator', 'login noinherit')             -- who PostgREST connects as; becomes one of the three
        ) as r (name, attributes)
    loop
        if not exists (select from pg_catalog.pg_roles where rolname = wanted.name) then
            execute format('create role %I %s', wanted.name, wanted.attributes);
        end if;
    end loop;
end
$$;
grant anon, authenticated, service_role to authenticator;
-- Supabase's limits for a request; PostgREST's login carries them into every call.
alter role authenticator set statement_timeout = '8s';
alter role authenticator set lock_timeout = '8s';

grant usage on schema public to anon, authenticated, service_role;

create schema if not exists extensions;
grant usage on schema extensions to anon, authenticated, service_role;

create schema if not exists auth;
grant usage on schema auth to anon, authenticated, service_role;

create table if not exists auth.users (
    id uuid primary key default gen_random_uuid(),
    email text unique,
    phone text unique,
    raw_app_meta_data jsonb,
    raw_user_meta_data jsonb,
    created_at timestamptz default now(),
    updated_at timestamptz default now()
);

-- What the request's JWT says: all of it, whose it is, and as which role. Null without one.
create or replace function auth.jwt() returns jsonb
language sql stable set search_path = '' as $$
    select nullif(current_setting('request.jwt.claims', true), '')::jsonb
$$;
create or replace function auth.uid() returns uuid
language sql stable set search_path = '' as $$ select (auth.jwt() ->> 'sub')::uuid $$;
create or replace function auth.role() returns text
language sql stable set search_path = '' as $$ select auth.jwt() ->> 'role' $$;
create or replace function auth.email() returns text
language sql stable set search_path = '' as $$ select auth.jwt() ->> 'email' $$;
grant execute on all functions in schema auth to anon, authenticated, service_role;

do $$
begin
    if not exists (select from pg_catalog.pg_publication where pubname = 'supabase_realtime') then
        create publication supabase_realtime;
    end if;
end
$$;
