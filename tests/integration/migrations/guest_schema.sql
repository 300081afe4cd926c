-- An application's database with all that others were seen to have: tables of another owner, partitions, citext, forced
-- row level security, audit triggers, an event trigger, a rule that deletes softly, a publication of all tables, types
-- of other makers, no default privileges, and names that begin as smsretry's do.
do $$
begin
    if not exists (select from pg_roles where rolname = 'gym_owner') then
        create role gym_owner nologin;
        create role gym_migrator login createrole bypassrls in role gym_owner;
    end if;
end
$$;
grant create, usage on schema public to gym_owner, gym_migrator with grant option;
grant usage on schema auth, extensions to gym_owner, gym_migrator;
create extension citext schema extensions;
create schema audit authorization gym_owner;
set role gym_owner;

create table audit.entries (id bigint generated always as identity primary key, relation text not null, entry jsonb not null);
create function audit.note() returns trigger language plpgsql security definer set search_path = '' as $$
begin
    insert into audit.entries (relation, entry) values (tg_table_name, to_jsonb(coalesce(new, old)));
    return coalesce(new, old);
end
$$;

create table public.businesses (
    id uuid primary key default gen_random_uuid(),
    user_id uuid not null,
    name extensions.citext not null,
    timezone varchar(64)
);
create table public.customers (
    id uuid primary key default gen_random_uuid(),
    business_id uuid not null references public.businesses (id),
    phone extensions.citext check (phone <> ''),
    phone_status text,
    timezone text default 'America/New_York',
    sms_consent_status text not null default 'unknown',
    sms_consent_at timestamp(3) default null,
    sms_consent_source text,
    deleted_at timestamp(3)
);
create index customers_by_consent on public.customers (sms_consent_at);
create rule delete_softly as on delete to public.customers
    do instead update public.customers set deleted_at = now() where id = old.id;
create table public.send_logs (
    id uuid not null default gen_random_uuid(),
    business_id uuid not null references public.businesses (id),
    customer_id uuid references public.customers (id),
    channel text not null,
    subject varchar(1600),
    status text not null default 'pending',
    error_message text,
    provider_message_id json default '{}',
    created_at timestamptz not null default now(),
    updated_at timestamp(3) not null default current_timestamp check (updated_at > '2020-01-01'),
    primary key (id, created_at)
) partition by range (created_at);
create table public.send_logs_old partition of public.send_logs for values from (minvalue) to ('2026-01-01');
create table public.send_logs_new partition of public.send_logs for values from ('2026-01-01') to (maxvalue);
create index send_logs_by_change on public.send_logs (updated_at);
create table public.sms_retry_queue (
    id uuid primary key default gen_random_uuid(),
    business_id uuid not null references public.businesses (id),
    send_log_id uuid not null,
    customer_id uuid not null references public.customers (id),
    status varchar(20) not null default 'pending' check (status <> ''),
    attempt_count smallint not null default 0 check (attempt_count >= 0),
    max_attempts smallint not null default 3,
    scheduled_for timestamp(3) not null default current_timestamp,
    last_attempted_at timestamp(3),
    last_error varchar(300),
    reason text,
    created_at timestamp(3) not null default current_timestamp,
    updated_at timestamp(3) not null default current_timestamp,
    priority integer not null default 1 constraint sms_retry_queue_sane_priority check (priority between 1 and 9)
);
create index sms_retry_queue_due on public.sms_retry_queue (status, scheduled_for);
create index sms_retry_queue_tries on public.sms_retry_queue (attempt_count) where attempt_count > 0;
alter table public.sms_retry_queue replica identity full;
create table public.scheduled_sends (
    id uuid primary key default gen_random_uuid(),
    business_id uuid not null,
    customer_id varchar(36),
    body varchar(480) not null default 'Hello' check (body <> ''),
    scheduled_for timestamp(3) not null default current_timestamp,
    not_after timestamp(3),
    message_class varchar(20) not null default 'marketing',
    status varchar(20) not null default 'scheduled',
    created_by text,
    created_at timestamp(3) not null default current_timestamp,
    updated_at timestamp(3) not null default current_timestamp,
    member integer not null default 1 constraint scheduled_sends_member check (member > 0)
);
create index scheduled_sends_by_member on public.scheduled_sends (member, created_at);
create function public.app_sms_total() returns bigint language sql stable set search_path = pg_catalog, pg_temp
    as $$ select count(*) from public.sms_retry_queue $$;
create function public.recover_stuck_sms_retries(stale_minutes integer) returns setof public.sms_retry_queue
    language sql security definer as $$ update public.sms_retry_queue set status = 'pending' returning * $$;

create trigger note after insert or update or delete on public.customers for each row execute function audit.note();
create trigger note after insert or update or delete on public.send_logs for each row execute function audit.note();
create trigger note after insert or update or delete on public.sms_retry_queue for each row execute function audit.note();
alter table public.businesses enable row level security;
alter table public.customers enable row level security, force row level security;
alter table public.send_logs enable row level security;
alter table public.sms_retry_queue enable row level security, force row level security;
create policy own on public.customers to authenticated using (
    business_id in (select b.id from public.businesses b where b.user_id = auth.uid()));
reset role;

create publication everything for all tables;
create function audit.note_change() returns event_trigger language plpgsql security definer set search_path = '' as $$
begin
    insert into audit.entries (relation, entry) values ('ddl', to_jsonb(tg_tag));
end
$$;
create event trigger note_change on ddl_command_end execute function audit.note_change();
