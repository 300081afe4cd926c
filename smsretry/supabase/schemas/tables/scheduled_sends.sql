-- Texts that are planned for a time. The application's table: its policies and grants are made only
-- where there is none. Shortly before its time a row becomes a send log, with the row's own id, and
-- a row of the queue (queue_scheduled_sms).
select set_config(
    'smsretry.had_scheduled_sends',
    (to_regclass('public.scheduled_sends') is not null)::text,
    false
);
create table if not exists public.scheduled_sends (
    id uuid primary key default gen_random_uuid(),
    business_id uuid not null references public.businesses (id) on delete cascade,
    customer_id uuid, -- no foreign key: a row whose customer is gone ends with a reason
    body text,
    scheduled_for timestamptz not null,
    -- when it is of no more use; null: it is of use as long as any text, from scheduled_for on
    not_after timestamptz,
    message_class text not null default 'marketing',
    --   scheduled: it waits for its time
    --   queued: its text exists, and its send log says what becomes of it
    --   cancelled, failed: it never became a text, or was cancelled in time
    status text not null default 'scheduled' check (
        status in ('scheduled', 'queued', 'cancelled', 'failed')
    ),
    send_log_id uuid, -- of its text, once there is one: the row's own id
    created_by uuid,
    why text, -- why it was cancelled, has failed or is held
    why_code smsretry.why_code,
    -- since when it waits for something that a person can mend; it goes on by itself then
    held_since timestamptz,
    look_at timestamptz, -- when it is looked at next, if not at its time
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),

    -- For our states; an application may have others.
    constraint scheduled_sends_message_class check (
        message_class in ('marketing', 'transactional')
    ),
    -- Infinity, years BC and the like could not be queued.
    constraint scheduled_sends_instants check (
        status not in ('scheduled', 'queued')
        or scheduled_for between '2000-01-01 00:00+00' and '2100-01-01 00:00+00'
            and not_after between '2000-01-01 00:00+00' and '2100-01-01 00:00+00'
    ),
    -- Otherwise it could only be cancelled.
    constraint scheduled_sends_use check (
        status <> 'scheduled' or not_after > scheduled_for
    ),
    -- The numbers: smsretry.longest_body, longest_reason.
    constraint scheduled_sends_lengths check (
        (status <> 'scheduled' or length(body) <= 1600)
        and length(why) <= 2000
    ),
    constraint scheduled_sends_queued check (
        status <> 'queued' or send_log_id is not null
    ),
    constraint scheduled_sends_held check (
        held_since is null
        or status = 'scheduled' and why is not null
    )
);

do $$
begin
    if current_setting('smsretry.had_scheduled_sends')::boolean then
        return;
    end if;
    create index scheduled_sends_business on public.scheduled_sends (business_id, scheduled_for);
    alter table public.scheduled_sends enable row level security;
    create policy "Owners read their scheduled sends" on public.scheduled_sends for select to authenticated
        using (business_id in (select b.id from public.businesses b where b.user_id = (select auth.uid())));
    create policy "Owners schedule texts to their customers" on public.scheduled_sends for insert to authenticated
        with check (
            status = 'scheduled'
            and business_id in (select b.id from public.businesses b where b.user_id = (select auth.uid()))
            and exists (select from public.customers c where c.id = customer_id
                        and c.business_id = scheduled_sends.business_id));
    create policy "Owners move and cancel their scheduled sends" on public.scheduled_sends for update to authenticated
        using (status in ('scheduled', 'queued')
               and business_id in (select b.id from public.businesses b where b.user_id = (select auth.uid())))
        with check (status in ('scheduled', 'queued', 'cancelled')
                    and business_id in (select b.id from public.businesses b where b.user_id = (select auth.uid())));
    -- A Supabase project grants everything in public to anon and authenticated. The message class
    -- is not a tenant's to choose: a transactional text keeps fewer rules.
    revoke all on public.scheduled_sends from public, anon, authenticated;
    grant select on public.scheduled_sends to authenticated;
    grant insert (id, business_id, customer_id, body, scheduled_for, not_after, created_by)
        on public.scheduled_sends to authenticated;
    grant update (body, scheduled_for, not_after, status) on public.scheduled_sends to authenticated;
    -- Deleting the row would not end its text: it is cancelled.
    revoke delete, truncate on public.scheduled_sends from service_role;
end
$$;

create index if not exists scheduled_sends_due
    on public.scheduled_sends ((coalesce(look_at, scheduled_for)), id) where status = 'scheduled';
-- For the desk.
create index if not exists scheduled_sends_customer
    on public.scheduled_sends (customer_id) where send_log_id is null;

grant select, insert, update on public.scheduled_sends to service_role;
