-- The application's table. It is made only where there is none, and its policy with it: an existing
-- one keeps its own.
do $$
begin
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
        grant select on public.send_logs to authenticated;
    end if;
end
$$;

-- The daily cap counts the texts that the application sent to a customer itself.
create index if not exists send_logs_customer_changed
    on public.send_logs (customer_id, (coalesce(updated_at, created_at)));

-- insert: of a scheduled send; update: what became of the text
grant select, insert, update on public.send_logs to service_role;
