-- What an application's own migrations find in a new Supabase project, beyond what smsretry's migrations need: users for
-- foreign keys, `auth.jwt()` for policies, the publication of Realtime. Idempotent.
-- Sources: https://supabase.com/docs/guides/auth/managing-user-data, https://supabase.com/docs/guides/realtime/postgres-changes

create table if not exists auth.users (
    id uuid primary key default gen_random_uuid(),
    email text unique,
    phone text unique,
    raw_app_meta_data jsonb,
    raw_user_meta_data jsonb,
    created_at timestamptz default now(),
    updated_at timestamptz default now()
);

create or replace function auth.jwt() returns jsonb
language sql stable set search_path = '' as $$
    select nullif(current_setting('request.jwt.claims', true), '')::jsonb
$$;
create or replace function auth.email() returns text
language sql stable set search_path = '' as $$
    select nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'email'
$$;
grant execute on function auth.jwt(), auth.email() to anon, authenticated, service_role;

do $$
begin
    if not exists (select from pg_catalog.pg_publication where pubname = 'supabase_realtime') then
        create publication supabase_realtime;
    end if;
end
$$;
