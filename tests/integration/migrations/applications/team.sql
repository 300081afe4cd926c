-- On top of ../../original_schema.sql: a tool whose members work in teams, with a second factor. Written for the tests.
alter table public.businesses add column team_id uuid;
create table public.members (team_id uuid not null, user_id uuid not null, primary key (team_id, user_id));
create schema private;
grant usage on schema private to authenticated;
create function private.businesses() returns setof uuid language sql stable security definer set search_path = '' as $$
    select b.id from public.businesses b join public.members m on m.team_id = b.team_id where m.user_id = auth.uid()
$$;
create role dispatcher;

-- Nobody without a second factor sees a row, whatever else lets them.
create policy "Second factor" on public.sms_retry_queue as restrictive for all to authenticated
    using ((select current_setting('request.jwt.claims', true)::jsonb ->> 'aal') = 'aal2');
comment on policy "Second factor" on public.sms_retry_queue is 'Asked for by the auditor: C:\audit, "it''s a must"';
create policy "Team members read" on public.sms_retry_queue for select to authenticated
    using (business_id in (select private.businesses()));
create policy "Team members ""do"" all" on public.sms_retry_queue for all to authenticated
    using (business_id in (select private.businesses()));
create policy "The dispatcher works" on public.sms_retry_queue for all to dispatcher using (true) with check (true);
grant select, update on public.sms_retry_queue to dispatcher;
create policy "Second factor" on public.send_logs as restrictive for all to authenticated
    using ((select current_setting('request.jwt.claims', true)::jsonb ->> 'aal') = 'aal2');
create policy "Team members read" on public.customers for select to authenticated
    using (business_id in (select private.businesses()));
