-- One row a text that is owed to one person. The columns down to updated_at, and their meanings,
-- are the application's.
create table if not exists public.sms_retry_queue (
    id uuid primary key default gen_random_uuid(),
    -- No foreign keys to send_logs and customers: deleting one of those must neither fail nor erase
    -- the row, which ends with a reason.
    business_id uuid not null references public.businesses (id) on delete cascade,
    send_log_id uuid not null,
    customer_id uuid not null,
    status text not null default 'pending',
    -- Sends made from the queue. A deferral, the recovery of a claim that was not begun and a
    -- request that was never sent do not count.
    attempt_count integer not null default 0,
    max_attempts integer not null default 3,
    scheduled_for timestamptz not null,
    last_attempted_at timestamptz,
    last_error text,
    reason text,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),

    -- the fence: it only rises, with every claim; every write of a worker names the one it holds
    claim_no bigint not null default 0,
    claimed_at timestamptz, -- start of the lease of the present claim
    begun_at timestamptz, -- of the send that is under way
    attempt_id uuid, -- under way or in doubt
    -- since when it is unknown whether attempt_id went out; the text is never simply sent again
    in_doubt_since timestamptz,
    -- looks for evidence of attempt_id that found nothing
    reconcile_count integer not null default 0,
    -- the last claim whose look was recorded, so that recording it twice is harmless
    reconciled_claim_no bigint,
    -- workers that died while they held it, before its send began or while they looked for evidence
    recover_count integer not null default 0,
    error_code integer, -- Twilio's code for last_error, when it came from Twilio
    -- marketing: every quiet-hours rule binds; transactional: 08:00-21:00 where the customer is
    message_class text not null default 'marketing',
    -- why it waits for scheduled_for, in words and with the rule; failures are in last_error
    why text,
    -- since when it waits for something that a person can mend; it goes on by itself then
    held_since timestamptz,
    -- whether its claimer begins no sends, so that the claim counts as a send; as long as that is in
    -- doubt
    claimed_by_application boolean not null default false,
    -- when it is of no more use; null until the first moment it might have gone out, or until the
    -- first look for evidence
    expires_at timestamptz,
    -- why it waits or has ended, in a word for programs; null: nothing was decided
    why_code smsretry.why_code,
    -- when it might have gone out first; null: that was before smsretry was here
    first_due_at timestamptz,
    work text generated always as (
        smsretry.work(status, recover_count, in_doubt_since)
    ) stored, -- a plain column from below on

    constraint sms_retry_queue_status check (
        status in ('pending', 'processing', 'completed', 'failed', 'cancelled')
    ),
    constraint sms_retry_queue_message_class check (
        message_class in ('marketing', 'transactional')
    ),
    constraint sms_retry_queue_reason check (
        reason in ('quiet_hours', 'twilio_error', 'rate_limit')
    ),
    constraint sms_retry_queue_attempts check (
        attempt_count between 0 and 1000
        and max_attempts between 1 and 1000
    ),
    -- No worker could read infinity or years BC, and the other rows of its claim would suffer.
    constraint sms_retry_queue_instants check (
        least(
            scheduled_for,
            expires_at,
            last_attempted_at,
            created_at,
            updated_at
        ) >= '2000-01-01 00:00+00'
        and greatest(
            scheduled_for,
            expires_at,
            last_attempted_at,
            created_at,
            updated_at
        ) <= '2100-01-01 00:00+00'
    )
)
-- Rows are rewritten all day. Room on the page keeps their updates HOT; vacuum and analyze come
-- after a number of changes, not after a share of the table.
with (
    fillfactor = 80,
    autovacuum_vacuum_scale_factor = 0,
    autovacuum_vacuum_threshold = 1000,
    autovacuum_analyze_scale_factor = 0,
    autovacuum_analyze_threshold = 5000
);

-- Rows that were here have their work now. From here on smsretry.guard_row sets it, and
-- keeps the state machine.
alter table public.sms_retry_queue alter column work drop expression if exists;
comment on column public.sms_retry_queue.work is 'Who looks for it when it is due: texts are sent, a doubtful one is looked for, a suspect one may kill its worker and is claimed alone, and one that is under_way is taken back from a worker that fell silent. Null: it has ended.';

-- One live row a text. Its ended rows are found here, too.
create unique index if not exists sms_retry_queue_one_live_row on public.sms_retry_queue (
    send_log_id, (case when status in ('pending', 'processing') then '00000000-0000-0000-0000-000000000000'::uuid else id end));
create index if not exists sms_retry_queue_customer on public.sms_retry_queue (customer_id);
-- Due rows: the claim looks here first, and mostly finds nothing. It reads the included columns.
create index if not exists sms_retry_queue_work
    on public.sms_retry_queue (work, scheduled_for, id)
    include (business_id, message_class, why_code, in_doubt_since, held_since) where work is not null;
-- The claim walks these business by business when more is due than it can take.
create index if not exists sms_retry_queue_turns
    on public.sms_retry_queue (business_id, message_class, scheduled_for, id) where work = 'texts';
-- sms_status counts what waits. Equal keys are stored once, in a twentieth of the pages above.
create index if not exists sms_retry_queue_why
    on public.sms_retry_queue (work, why_code, held_since) where work is not null;
-- For the desk and for pruning. A row enters it once.
create index if not exists sms_retry_queue_ended
    on public.sms_retry_queue (status, updated_at) where status in ('completed', 'failed', 'cancelled');

alter table public.sms_retry_queue enable row level security;

drop policy if exists "Owners read their retries" on public.sms_retry_queue;
create policy "Owners read their retries" on public.sms_retry_queue for select to authenticated
    using (business_id in (select b.id from public.businesses b where b.user_id = (select auth.uid())));

-- Without the last two conditions a tenant could have another tenant's text sent.
drop policy if exists "Owners queue retries of their texts" on public.sms_retry_queue;
create policy "Owners queue retries of their texts" on public.sms_retry_queue for insert to authenticated
    with check (
        status = 'pending'
        and attempt_count between 0 and max_attempts
        and max_attempts between 1 and 10
        and business_id in (
            select b.id from public.businesses b where b.user_id = (select auth.uid())
        )
        and exists (
            select from public.send_logs l
            where l.id = send_log_id
              and l.business_id = sms_retry_queue.business_id
              and l.customer_id = sms_retry_queue.customer_id
        )
        and exists (
            select from public.customers c
            where c.id = customer_id
              and c.business_id = sms_retry_queue.business_id
        )
    );

-- History is kept: a text that is no longer wanted is cancelled, not deleted.
revoke delete, truncate on public.sms_retry_queue from service_role;
grant select, insert, update on public.sms_retry_queue to service_role;
-- An older Supabase project grants everything in public to anon and authenticated.
revoke all on public.sms_retry_queue from public, anon, authenticated;
grant select on public.sms_retry_queue to authenticated;
-- Claim number, lease and the like are not a tenant's to set.
revoke insert on public.sms_retry_queue from authenticated;
grant insert (id, business_id, send_log_id, customer_id, status, attempt_count, max_attempts, scheduled_for,
    last_error, reason)
    on public.sms_retry_queue to authenticated;
