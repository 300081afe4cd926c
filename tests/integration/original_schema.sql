-- An installation from before smsretry: the tables and the two calls as a web application on Supabase made them for
-- itself, with what such an application adds of its own: foreign keys, checks, indexes, policies, a trigger.
-- Its project is older than May 2026, and grants everything in public to everybody. Written for the tests; its faults
-- (tenants may update queue rows, anyone may call the functions) are meant.

alter default privileges in schema public grant all on tables to anon, authenticated, service_role;
alter default privileges in schema public grant all on functions to anon, authenticated, service_role;
alter default privileges in schema public grant all on sequences to anon, authenticated, service_role;

create table public.businesses (
    id uuid primary key default gen_random_uuid(),
    user_id uuid not null,
    name text not null,
    timezone text
);

create table public.customers (
    id uuid primary key default gen_random_uuid(),
    business_id uuid not null references public.businesses (id) on delete cascade,
    phone text,
    phone_status text,
    timezone text default 'America/New_York',
    sms_consent_status text default 'unknown',
    sms_consent_at timestamptz,
    sms_consent_source text,
    constraint customers_consent_known check (sms_consent_status in ('opted_in', 'opted_out', 'unknown'))
);

create table public.send_logs (
    id uuid primary key default gen_random_uuid(),
    business_id uuid not null references public.businesses (id) on delete cascade,
    customer_id uuid references public.customers (id) on delete cascade,
    channel text not null,
    subject text,
    status text not null default 'pending',
    error_message text,
    provider_message_id jsonb,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    constraint send_logs_channel_known check (channel in ('email', 'sms'))
);

create table public.sms_retry_queue (
    id uuid primary key default gen_random_uuid(),
    business_id uuid not null references public.businesses (id) on delete cascade,
    send_log_id uuid not null references public.send_logs (id) on delete cascade,
    customer_id uuid not null references public.customers (id) on delete cascade,
    status text not null default 'pending',
    attempt_count integer not null default 0,
    max_attempts integer not null default 3,
    scheduled_for timestamptz not null,
    last_attempted_at timestamptz,
    last_error text,
    reason text,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    constraint retry_status_known check (status in ('pending', 'processing', 'completed', 'failed', 'cancelled')),
    constraint retry_reason_known check (reason in ('quiet_hours', 'twilio_error', 'rate_limit'))
);
create index retry_queue_by_due_time on public.sms_retry_queue (scheduled_for) where status = 'pending';
create index retry_queue_by_customer on public.sms_retry_queue (customer_id);

-- Any edit moves updated_at, an operator's too.
create function public.set_updated_at() returns trigger language plpgsql as $$
begin
    new.updated_at = now();
    return new;
end
$$;
create trigger send_logs_updated_at before update on public.send_logs
    for each row execute function public.set_updated_at();
create trigger sms_retry_queue_updated_at before update on public.sms_retry_queue
    for each row execute function public.set_updated_at();

alter table public.businesses enable row level security;
alter table public.customers enable row level security;
alter table public.send_logs enable row level security;
alter table public.sms_retry_queue enable row level security;

create policy "own businesses" on public.businesses for all to authenticated
    using (user_id = auth.uid()) with check (user_id = auth.uid());
create policy "own customers" on public.customers for all to authenticated
    using (exists (select 1 from public.businesses b where b.id = business_id and b.user_id = auth.uid()));
create policy "own send logs" on public.send_logs for all to authenticated
    using (exists (select 1 from public.businesses b where b.id = business_id and b.user_id = auth.uid()));
create policy "see own retries" on public.sms_retry_queue for select
    using (exists (select 1 from public.businesses b where b.id = business_id and b.user_id = auth.uid()));
create policy "add own retries" on public.sms_retry_queue for insert
    with check (exists (select 1 from public.businesses b where b.id = business_id and b.user_id = auth.uid()));
create policy "change own retries" on public.sms_retry_queue for update
    using (exists (select 1 from public.businesses b where b.id = business_id and b.user_id = auth.uid()));

create function public.claim_due_sms_retries(limit_count int default 50)
returns setof public.sms_retry_queue language plpgsql security definer as $$
begin
    return query
    update public.sms_retry_queue
    set status = 'processing', attempt_count = attempt_count + 1, last_attempted_at = now()
    where id in (
        select due.id from public.sms_retry_queue due
        where due.status = 'pending' and due.scheduled_for <= now()
        order by due.scheduled_for limit limit_count
        for update skip locked
    )
    returning *;
end
$$;

create function public.recover_stuck_sms_retries(stale_minutes int default 10)
returns setof public.sms_retry_queue language plpgsql security definer as $$
begin
    return query
    update public.sms_retry_queue
    set status = 'pending'
    where status = 'processing' and updated_at < now() - make_interval(mins => stale_minutes)
    returning *;
end
$$;
