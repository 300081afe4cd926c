-- The one clock, and the four tables the application owns, created only where they are absent.

create schema if not exists smsretry;
comment on schema smsretry is 'Internals of the SMS retry queue. Not exposed by PostgREST; the API is the functions in public.';

-- Due, stale and expired are decided by this clock and no other. Only the embedded stack replaces it
-- (to let a demo or a test move time forward); no role but the owner may.
create or replace function smsretry.clock() returns timestamptz
language sql volatile set search_path = '' as $$ select pg_catalog.clock_timestamp() $$;

do $$
begin
    if to_regclass('public.businesses') is null then
        create table public.businesses (
            id uuid primary key default gen_random_uuid(),
            user_id uuid not null,
            name text not null,
            timezone text
        );
        alter table public.businesses enable row level security;
        create policy "Owners read their businesses" on public.businesses
            for select to authenticated using (user_id = (select auth.uid()));
    end if;

    if to_regclass('public.customers') is null then
        create table public.customers (
            id uuid primary key default gen_random_uuid(),
            business_id uuid not null references public.businesses (id) on delete cascade,
            phone text,
            phone_status text,
            timezone text,
            sms_consent_status text not null default 'unknown'
                check (sms_consent_status in ('opted_in', 'opted_out', 'unknown')),
            sms_consent_at timestamptz,
            sms_consent_source text
        );
        create index customers_business_id on public.customers (business_id);
        alter table public.customers enable row level security;
        create policy "Owners read their customers" on public.customers for select to authenticated
            using (business_id in (select b.id from public.businesses b where b.user_id = (select auth.uid())));
    end if;

    if to_regclass('public.send_logs') is null then
        create table public.send_logs (
            id uuid primary key default gen_random_uuid(),
            business_id uuid not null references public.businesses (id) on delete cascade,
            customer_id uuid,
            channel text not null default 'sms' check (channel in ('email', 'sms')),
            subject text,
            status text not null default 'pending',
            error_message text,
            provider_message_id jsonb,
            created_at timestamptz not null default now(),
            updated_at timestamptz not null default now()
        );
        create index send_logs_business_id on public.send_logs (business_id);
        alter table public.send_logs enable row level security;
        create policy "Owners read their send logs" on public.send_logs for select to authenticated
            using (business_id in (select b.id from public.businesses b where b.user_id = (select auth.uid())));
    end if;

    if to_regclass('public.sms_retry_queue') is null then
        -- No foreign keys to send_logs and customers: a deleted one must end its text with a reason a
        -- person can read (B10), not erase the row or forbid the deletion. Deleting a business erases all.
        create table public.sms_retry_queue (
            id uuid primary key default gen_random_uuid(),
            business_id uuid not null references public.businesses (id) on delete cascade,
            send_log_id uuid not null,
            customer_id uuid not null,
            status text not null default 'pending',
            attempt_count integer not null default 0,
            max_attempts integer not null default 3,
            scheduled_for timestamptz not null,
            last_attempted_at timestamptz,
            last_error text,
            reason text,
            created_at timestamptz not null default now(),
            updated_at timestamptz not null default now()
        );
    end if;
end
$$;
