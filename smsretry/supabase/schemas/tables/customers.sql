-- The application's table. It is made only where there is none, and its policy with it: an existing
-- one keeps its own.
do $$
begin
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
        grant select on public.customers to authenticated;
    end if;
end
$$;

-- For the daily cap and for an opt-out, which belong to a number: several customers may share one.
-- A hash, because an ordinary index would refuse the application's rows whose phone is longer than
-- a page of it.
create index if not exists customers_phone on public.customers using hash (phone);

grant select, update on public.customers to service_role; -- update: consent and phone_status
