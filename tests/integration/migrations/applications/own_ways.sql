-- On top of ../../original_schema.sql: a tool that set about everything otherwise. Written for the tests.
drop policy "add own retries" on public.sms_retry_queue;
drop policy "change own retries" on public.sms_retry_queue;
alter table public.sms_retry_queue alter attempt_count set default 1, alter max_attempts drop not null;
alter table public.sms_retry_queue set (fillfactor = 50, autovacuum_vacuum_cost_delay = 5), disable row level security;
alter table public.sms_retry_queue add constraint sms_retry_queue_attempts check (attempt_count < 100);
alter table public.sms_retry_queue add column campaign text default 'none', add constraint campaigns check (campaign <> '');
comment on column public.sms_retry_queue.attempt_count is 'Counted by the nightly report';
comment on column public.sms_retry_queue.reason is 'Shown to the owner';
comment on table public.customers is 'Who gets texts';
create index sms_retry_queue_due on public.sms_retry_queue (scheduled_for, business_id);
create index sms_retry_queue_customer on public.sms_retry_queue (customer_id, status);
create index queue_of_campaign on public.sms_retry_queue (campaign) where campaign is not null;
create table public.texts_seen (id uuid, at timestamptz default now());
create function public.note_text() returns trigger language plpgsql security definer set search_path = public as $$
begin
    insert into texts_seen (id) values (new.id);
    return new;
end $$;
create trigger note_text after insert on public.sms_retry_queue for each row execute function public.note_text();
create trigger a_sleeping_one after update on public.customers for each row execute function public.note_text();
alter table public.customers disable trigger a_sleeping_one;
create publication changes for table public.sms_retry_queue, public.customers;
alter table public.send_logs force row level security;
grant update (scheduled_for) on public.sms_retry_queue to authenticated;
create table public.scheduled_sends (
    id uuid primary key default gen_random_uuid(), business_id uuid not null, scheduled_for timestamptz not null,
    status text not null default 'scheduled', body text not null default '', why varchar default 'by hand'
);
alter table public.scheduled_sends alter why type text;
alter table public.scheduled_sends enable row level security;
create policy "Anyone of the business" on public.scheduled_sends for all to authenticated
    using (business_id in (select b.id from public.businesses b where b.user_id = auth.uid()));
comment on column public.scheduled_sends.status is 'Our own words';
