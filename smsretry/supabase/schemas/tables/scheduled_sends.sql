-- Texts that are planned for a time. The application's table: it, its policies and its grants are made only where there is
-- none. Shortly before its time a row becomes a send log, with the row's own id, and a row of the queue
-- (queue_scheduled_sms).
do $$
begin
    if to_regclass('public.scheduled_sends') is not null then
        return;
    end if;
    create table public.scheduled_sends (
        id uuid primary key default gen_random_uuid(),
        -- No foreign key to customers: a row whose customer is gone ends with a reason.
        business_id uuid not null references public.businesses (id) on delete cascade,
        customer_id uuid,
        body text,
        scheduled_for timestamptz not null,
        not_after timestamptz,
        message_class text not null default 'marketing',
        status text not null default 'scheduled' check (status in ('scheduled', 'queued', 'cancelled', 'failed')),
        send_log_id uuid,
        created_by uuid,
        why text,
        held_since timestamptz,
        look_at timestamptz,
        why_code smsretry.why_code,
        created_at timestamptz not null default now(),
        updated_at timestamptz not null default now()
    );
    comment on column public.scheduled_sends.status is 'scheduled: it waits for its time. queued: its text exists, and its send log says what becomes of it. cancelled, failed: it never became a text, or was cancelled in time; why says the reason.';
    create index scheduled_sends_business on public.scheduled_sends (business_id, scheduled_for);
    alter table public.scheduled_sends enable row level security;
    create policy "Owners read their scheduled sends" on public.scheduled_sends for select to authenticated
        using (business_id in (select b.id from public.businesses b where b.user_id = (select auth.uid())));
    create policy "Owners schedule texts to their customers" on public.scheduled_sends for insert to authenticated
        with check (
            status = 'scheduled'
            and business_id in (select b.id from public.businesses b where b.user_id = (select auth.uid()))
            and exists (select 1 from public.customers c where c.id = customer_id
                        and c.business_id = scheduled_sends.business_id));
    create policy "Owners move and cancel their scheduled sends" on public.scheduled_sends for update to authenticated
        using (status in ('scheduled', 'queued')
               and business_id in (select b.id from public.businesses b where b.user_id = (select auth.uid())))
        with check (status in ('scheduled', 'queued', 'cancelled')
                    and business_id in (select b.id from public.businesses b where b.user_id = (select auth.uid())));
    -- A Supabase project grants everything in public to anon and authenticated. The message class is not a tenant's to
    -- choose: a transactional text keeps fewer rules.
    revoke all on public.scheduled_sends from public, anon, authenticated;
    grant select on public.scheduled_sends to authenticated;
    grant insert (id, business_id, customer_id, body, scheduled_for, not_after, created_by)
        on public.scheduled_sends to authenticated;
    grant update (body, scheduled_for, not_after, status) on public.scheduled_sends to authenticated;
    -- Deleting the row would not end its text: it is cancelled.
    revoke delete, truncate on public.scheduled_sends from service_role;
end
$$;

alter table public.scheduled_sends add column if not exists customer_id uuid;
alter table public.scheduled_sends add column if not exists body text;
alter table public.scheduled_sends add column if not exists not_after timestamptz;
alter table public.scheduled_sends add column if not exists message_class text not null default 'marketing';
alter table public.scheduled_sends add column if not exists send_log_id uuid;
alter table public.scheduled_sends add column if not exists created_by uuid;
alter table public.scheduled_sends add column if not exists why text;
alter table public.scheduled_sends add column if not exists held_since timestamptz;
alter table public.scheduled_sends add column if not exists look_at timestamptz;
alter table public.scheduled_sends add column if not exists why_code smsretry.why_code;
alter table public.scheduled_sends add column if not exists created_at timestamptz not null default now();
alter table public.scheduled_sends add column if not exists updated_at timestamptz not null default now();
comment on column public.scheduled_sends.not_after is 'After this the text is of no more use, and is cancelled. Null: it is of use for as long as any text in the queue, from scheduled_for on, also while nothing ran.';
comment on column public.scheduled_sends.send_log_id is 'The send log of its text, once there is one. It is the row''s own id.';
comment on column public.scheduled_sends.why is 'Why it was cancelled, has failed or is held.';
comment on column public.scheduled_sends.why_code is 'why, in a word for programs, as in sms_retry_queue.';
comment on column public.scheduled_sends.held_since is 'Since when it waits for something that a person can mend; why says what. It goes on by itself once that is mended.';
comment on column public.scheduled_sends.look_at is 'When it is looked at again, if not at its time.';

-- Rules for our states; an application may have others. Rows that break a new rule are reported and stay.
do $$
declare
    rule record;
begin
    for rule in
        select * from (values
            ('scheduled_sends_message_class', $c$message_class in ('marketing', 'transactional')$c$),
            -- Infinity, years BC and the like could not be queued.
            ('scheduled_sends_instants', $c$status not in ('scheduled', 'queued')
                or scheduled_for between '2000-01-01 00:00+00' and '2100-01-01 00:00+00'
                   and not_after between '2000-01-01 00:00+00' and '2100-01-01 00:00+00'$c$),
            -- Otherwise it could only be cancelled.
            ('scheduled_sends_use', $c$status <> 'scheduled' or not_after > scheduled_for$c$),
            -- The numbers: smsretry.longest_body, longest_reason.
            ('scheduled_sends_lengths', $c$(status <> 'scheduled' or length(body) <= 1600) and length(why) <= 2000$c$),
            ('scheduled_sends_queued', $c$status <> 'queued' or send_log_id is not null$c$),
            ('scheduled_sends_held', $c$held_since is null or status = 'scheduled' and why is not null$c$)
        ) as r (name, expression)
    loop
        execute format('alter table public.scheduled_sends drop constraint if exists %I', rule.name);
        execute format('alter table public.scheduled_sends add constraint %I check (%s) not valid', rule.name, rule.expression);
        begin
            execute format('alter table public.scheduled_sends validate constraint %I', rule.name);
        exception when check_violation then
            raise warning 'scheduled_sends holds rows that break %: %', rule.name, rule.expression
                using hint = 'Find them with: select id from scheduled_sends where not (' || rule.expression || ')';
        end;
    end loop;
end
$$;

create index if not exists scheduled_sends_due
    on public.scheduled_sends ((coalesce(look_at, scheduled_for)), id) where status = 'scheduled';
-- For the desk.
create index if not exists scheduled_sends_customer
    on public.scheduled_sends (customer_id) where send_log_id is null;
create index if not exists scheduled_sends_waiting
    on public.scheduled_sends (customer_id) where status = 'scheduled';

grant select, insert, update on public.scheduled_sends to service_role;
