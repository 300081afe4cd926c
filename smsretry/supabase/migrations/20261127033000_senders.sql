-- ======== drop smsretry.take ========
do $$
declare
    version regprocedure;
begin
    for version in
        select p.oid::regprocedure from pg_catalog.pg_proc p
        where p.pronamespace = 'smsretry'::regnamespace and p.proname = 'take'
    loop
        execute format('drop function %s', version);
    end loop;
end
$$;

-- ======== drop public.claim_due_sms_retries ========
do $$
declare
    version regprocedure;
begin
    for version in
        select p.oid::regprocedure from pg_catalog.pg_proc p
        where p.pronamespace = 'public'::regnamespace and p.proname = 'claim_due_sms_retries'
    loop
        execute format('drop function %s', version);
    end loop;
end
$$;

-- ======== drop public.claim_sms_retry ========
do $$
declare
    version regprocedure;
begin
    for version in
        select p.oid::regprocedure from pg_catalog.pg_proc p
        where p.pronamespace = 'public'::regnamespace and p.proname = 'claim_sms_retry'
    loop
        execute format('drop function %s', version);
    end loop;
end
$$;

-- ======== drop public.claim_suspect_sms_retry ========
do $$
declare
    version regprocedure;
begin
    for version in
        select p.oid::regprocedure from pg_catalog.pg_proc p
        where p.pronamespace = 'public'::regnamespace and p.proname = 'claim_suspect_sms_retry'
    loop
        execute format('drop function %s', version);
    end loop;
end
$$;

-- ======== drop public.begin_sms_attempt ========
do $$
declare
    version regprocedure;
begin
    for version in
        select p.oid::regprocedure from pg_catalog.pg_proc p
        where p.pronamespace = 'public'::regnamespace and p.proname = 'begin_sms_attempt'
    loop
        execute format('drop function %s', version);
    end loop;
end
$$;

-- ======== drop public.claim_doubtful_sms_retries ========
do $$
declare
    version regprocedure;
begin
    for version in
        select p.oid::regprocedure from pg_catalog.pg_proc p
        where p.pronamespace = 'public'::regnamespace and p.proname = 'claim_doubtful_sms_retries'
    loop
        execute format('drop function %s', version);
    end loop;
end
$$;

-- ======== drop public.claim_sms_deliveries ========
do $$
declare
    version regprocedure;
begin
    for version in
        select p.oid::regprocedure from pg_catalog.pg_proc p
        where p.pronamespace = 'public'::regnamespace and p.proname = 'claim_sms_deliveries'
    loop
        execute format('drop function %s', version);
    end loop;
end
$$;

-- ======== drop public.preview_sms_retries ========
do $$
declare
    version regprocedure;
begin
    for version in
        select p.oid::regprocedure from pg_catalog.pg_proc p
        where p.pronamespace = 'public'::regnamespace and p.proname = 'preview_sms_retries'
    loop
        execute format('drop function %s', version);
    end loop;
end
$$;

-- ======== drop smsretry.write_attempt ========
do $$
declare
    version regprocedure;
begin
    for version in
        select p.oid::regprocedure from pg_catalog.pg_proc p
        where p.pronamespace = 'smsretry'::regnamespace and p.proname = 'write_attempt'
    loop
        execute format('drop function %s', version);
    end loop;
end
$$;

-- ======== drop smsretry.admit_send ========
do $$
declare
    version regprocedure;
begin
    for version in
        select p.oid::regprocedure from pg_catalog.pg_proc p
        where p.pronamespace = 'smsretry'::regnamespace and p.proname = 'admit_send'
    loop
        execute format('drop function %s', version);
    end loop;
end
$$;

-- ======== by hand: public.scheduled_sends ========
-- The file below makes its rules anew.

-- ======== schemas/tables/scheduled_sends.sql ========
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
        why_code text,
        created_at timestamptz not null default now(),
        updated_at timestamptz not null default now()
    );
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
alter table public.scheduled_sends add column if not exists why_code text;
alter table public.scheduled_sends add column if not exists created_at timestamptz not null default now();
alter table public.scheduled_sends add column if not exists updated_at timestamptz not null default now();
comment on column public.scheduled_sends.status is 'scheduled: it waits for its time. queued: its text exists, and its send log says what becomes of it. cancelled, failed: it never became a text, or was cancelled in time; why says the reason.';
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
            ('scheduled_sends_why_code', $c$why_code in (
                'no_send_log', 'not_sms', 'no_customer', 'no_phone', 'number_invalid', 'no_body',
                'body_too_long', 'bad_row', 'id_taken', 'row_refused', 'opted_out', 'already_sent',
                'expired', 'operator', 'application', 'superseded', 'quiet_hours', 'daily_cap',
                'no_time_zone', 'no_opening', 'hours_unreadable', 'state_stopped',
                'customer_locked', 'database_trouble', 'data_changed', 'sending_stopped',
                'business_trouble', 'sender_rate', 'sender_paused', 'day_spent', 'no_credentials', 'already_queued', 'claim_lost', 'unreachable',
                'rate_limited', 'account_refused', 'refused_for_now', 'refused', 'attempts_used_up',
                'undelivered', 'delivery_open', 'in_doubt', 'worker_died', 'restored',
                'no_evidence', 'list_unavailable', 'ambiguous', 'clock_set_back', 'unforeseen')$c$),
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
create index if not exists scheduled_sends_turns
    on public.scheduled_sends (business_id, (coalesce(look_at, scheduled_for)), id) where status = 'scheduled';
-- For the desk.
create index if not exists scheduled_sends_customer
    on public.scheduled_sends (customer_id) where send_log_id is null;

grant select, insert, update on public.scheduled_sends to service_role;

-- ======== schemas/tables/senders.sql ========
-- Who sends for whom. A sender is a messaging service or a number, in an account of the provider's. Its account and address
-- never change: a business that moves gets another sender, and its attempts still name the old one.
create table if not exists smsretry.senders (
    id uuid primary key default gen_random_uuid(),
    account text not null,
    sent_by text not null,
    segments_per_second double precision,
    segments_per_day integer,
    paused_at timestamptz,
    paused_because text,
    created_at timestamptz not null default smsretry.clock(),
    constraint senders_one unique (account, sent_by),
    -- Ids of the provider's, or a number in E.164. smsretry.sender_problem has their exact shapes.
    constraint senders_ids check (
        account ~ '^[A-Za-z0-9]{8,64}$' and sent_by ~ '^([+][1-9][0-9]{6,14}|[A-Za-z0-9]{8,64})$' and account <> sent_by),
    -- Above 1,000 a second it is no rate, and 0 would never send.
    constraint senders_rate check (segments_per_second > 0 and segments_per_second <= 1000),
    constraint senders_cap check (segments_per_day > 0),
    constraint senders_paused check ((paused_at is null) = (paused_because is null) and length(paused_because) between 1 and 500)
);
comment on table smsretry.senders is 'The businesses'' own senders. What has none here is sent by the sender of the runner''s environment.';
comment on column smsretry.senders.account is 'The provider''s account that owns it: a subaccount''s SID, or that of a business''s own account. Credentials are the runner''s.';
comment on column smsretry.senders.sent_by is 'A messaging service''s SID, or a number.';
comment on column smsretry.senders.segments_per_second is 'What it sends. Null: as fast as the provider takes them.';
comment on column smsretry.senders.segments_per_day is 'What a carrier takes of it in a day, which turns over at midnight Pacific time. Null: not limited here.';
comment on column smsretry.senders.paused_because is 'Why its texts wait. Null: it sends.';
create index if not exists senders_sent_by on smsretry.senders (sent_by);

-- Which sender a business's texts go out from.
create table if not exists smsretry.business_senders (
    business_id uuid not null references public.businesses (id) on delete cascade,
    message_class text not null default 'any',
    sender_id uuid not null references smsretry.senders (id),
    primary key (business_id, message_class),
    -- One of a class outranks the one for any class.
    constraint business_senders_class check (message_class in ('any', 'marketing', 'transactional'))
);
create index if not exists business_senders_sender on smsretry.business_senders (sender_id, business_id);

-- The senders of the runners' environments, which send for every business without one of its own. Each is written by the
-- first claim of its runner.
create table if not exists smsretry.default_senders (
    sent_by text primary key,
    account text not null,
    segments_per_second double precision,
    seen_at timestamptz not null
);

revoke all on smsretry.senders, smsretry.business_senders, smsretry.default_senders from public, anon, authenticated;
grant select, insert, update, delete on smsretry.senders, smsretry.business_senders, smsretry.default_senders to service_role;

-- ======== by hand: public.sms_retry_queue ========
alter table public.sms_retry_queue drop constraint if exists sms_retry_queue_why_code;
alter table public.sms_retry_queue add constraint sms_retry_queue_why_code check (why_code in (
        'no_send_log', 'not_sms', 'no_customer', 'no_phone', 'number_invalid', 'no_body', 'body_too_long',
        'bad_row', 'id_taken', 'row_refused', 'opted_out', 'already_sent', 'expired', 'operator',
        'application', 'superseded', 'quiet_hours', 'daily_cap', 'no_time_zone', 'no_opening',
        'hours_unreadable', 'state_stopped', 'customer_locked', 'database_trouble', 'data_changed',
        'sending_stopped', 'business_trouble', 'sender_rate', 'sender_paused', 'day_spent', 'no_credentials', 'already_queued', 'claim_lost', 'unreachable',
        'rate_limited', 'account_refused', 'refused_for_now', 'refused', 'attempts_used_up', 'undelivered',
        'delivery_open', 'in_doubt', 'worker_died', 'restored', 'no_evidence', 'list_unavailable',
        'ambiguous', 'clock_set_back', 'unforeseen')) not valid;
alter table public.sms_retry_queue validate constraint sms_retry_queue_why_code;

-- ======== schemas/tables/sms_retry_queue.sql ========
-- One row a text that is owed to one person. The columns down to updated_at, and their meanings, are the application's.
create table if not exists public.sms_retry_queue (
    id uuid primary key default gen_random_uuid(),
    -- No foreign keys to send_logs and customers: deleting one of those must neither fail nor erase the row, which ends with
    -- a reason.
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
    updated_at timestamptz not null default now(),

    claim_no bigint not null default 0,
    claimed_at timestamptz,
    begun_at timestamptz,
    attempt_id uuid,
    in_doubt_since timestamptz,
    reconcile_count integer not null default 0,
    reconciled_claim_no bigint,
    recover_count integer not null default 0,
    rate_limit_count integer not null default 0,
    account_refusal_count integer not null default 0,
    error_code integer,
    message_class text not null default 'marketing',
    why text,
    held_since timestamptz,
    claimed_by_application boolean not null default false,
    expires_at timestamptz,
    window_closes_at timestamptz,
    why_code text,

    constraint sms_retry_queue_status check (status in ('pending', 'processing', 'completed', 'failed', 'cancelled')),
    constraint sms_retry_queue_message_class check (message_class in ('marketing', 'transactional')),
    constraint sms_retry_queue_reason check (reason in ('quiet_hours', 'twilio_error', 'rate_limit')),
    -- smsretry/vocabulary.py says what each means.
    constraint sms_retry_queue_why_code check (why_code in (
        'no_send_log', 'not_sms', 'no_customer', 'no_phone', 'number_invalid', 'no_body', 'body_too_long',
        'bad_row', 'id_taken', 'row_refused', 'opted_out', 'already_sent', 'expired', 'operator',
        'application', 'superseded', 'quiet_hours', 'daily_cap', 'no_time_zone', 'no_opening',
        'hours_unreadable', 'state_stopped', 'customer_locked', 'database_trouble', 'data_changed',
        'sending_stopped', 'business_trouble', 'sender_rate', 'sender_paused', 'day_spent', 'no_credentials', 'already_queued', 'claim_lost', 'unreachable',
        'rate_limited', 'account_refused', 'refused_for_now', 'refused', 'attempts_used_up', 'undelivered',
        'delivery_open', 'in_doubt', 'worker_died', 'restored', 'no_evidence', 'list_unavailable',
        'ambiguous', 'clock_set_back', 'unforeseen')),
    constraint sms_retry_queue_attempts check (attempt_count between 0 and 1000 and max_attempts between 1 and 1000),
    -- No worker could read infinity or years BC, and the other rows of its claim would suffer.
    constraint sms_retry_queue_instants check (
        scheduled_for between '2000-01-01 00:00+00' and '2100-01-01 00:00+00'
        and expires_at between '2000-01-01 00:00+00' and '2100-01-01 00:00+00'
        and window_closes_at between '2000-01-01 00:00+00' and '2100-01-01 00:00+00'
        and last_attempted_at between '2000-01-01 00:00+00' and '2100-01-01 00:00+00'
        and created_at between '2000-01-01 00:00+00' and '2100-01-01 00:00+00'
        and updated_at between '2000-01-01 00:00+00' and '2100-01-01 00:00+00'),
    -- A claim's answer carries these for each of its rows.
    constraint sms_retry_queue_lengths check (length(last_error) <= 2000 and length(why) <= 2000),
    constraint sms_retry_queue_held check (held_since is null or (status in ('pending', 'processing') and why is not null)),
    -- Without a lease nobody could take a processing row back.
    constraint sms_retry_queue_lease check (status <> 'processing' or claimed_at is not null),
    -- Only a claimed row is begun, and its send has an id.
    constraint sms_retry_queue_begun check (begun_at is null or (status = 'processing' and attempt_id is not null)),
    -- A doubt is about one attempt, and a text that is known to be sent is not in doubt.
    constraint sms_retry_queue_doubt check (in_doubt_since is null or (attempt_id is not null and status <> 'completed'))
)
-- Rows are rewritten all day. Room on the page keeps their updates HOT; vacuum and analyze come after a number of changes,
-- not after a share of the table.
with (fillfactor = 80, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000,
      autovacuum_analyze_scale_factor = 0, autovacuum_analyze_threshold = 5000);

comment on column public.sms_retry_queue.claim_no is 'Fencing token: rises with every claim, never falls. Every write of a worker names the one it holds.';
comment on column public.sms_retry_queue.claimed_at is 'When the present claim was taken: the start of its lease.';
comment on column public.sms_retry_queue.begun_at is 'When the send that is under way was begun; null when none is.';
comment on column public.sms_retry_queue.attempt_id is 'The attempt that is under way or in doubt; null when there is none.';
comment on column public.sms_retry_queue.in_doubt_since is 'Since when it is unknown whether attempt_id reached the customer. Such a row is never simply sent again.';
comment on column public.sms_retry_queue.reconcile_count is 'How many looks for evidence of attempt_id found nothing.';
comment on column public.sms_retry_queue.reconciled_claim_no is 'The last claim whose look for evidence was recorded, so that recording it twice is harmless.';
comment on column public.sms_retry_queue.rate_limit_count is 'How often Twilio said "slower". Costs an attempt only past a cap.';
comment on column public.sms_retry_queue.recover_count is 'How many workers died while they held this row, before its send began or while they looked for evidence of it.';
comment on column public.sms_retry_queue.account_refusal_count is 'How often Twilio refused the account when this text was sent. Such a text is never the one that tries whether sending works again.';
comment on column public.sms_retry_queue.held_since is 'Since when it waits for something that a person can mend; why says what. It goes on by itself once that is mended.';
comment on column public.sms_retry_queue.claimed_by_application is 'Claimed by a caller that does not begin its sends: its claim counts as a send, because it may be one.';
comment on column public.sms_retry_queue.expires_at is 'When the text is of no more use. Null until the first moment it might have gone out: waiting for an opening does not count.';
comment on column public.sms_retry_queue.window_closes_at is 'When the window closes that a deferred row waits for; null if none is known. In the hour before, it goes before other texts of its business.';
comment on column public.sms_retry_queue.error_code is 'Twilio''s code for last_error, when it came from Twilio.';
comment on column public.sms_retry_queue.message_class is 'marketing: every quiet-hours rule binds. transactional: 08:00-21:00 where the customer is, and no state''s rule.';
comment on column public.sms_retry_queue.why is 'Why the row waits for scheduled_for, in words and with the rule. Failures are in last_error.';
comment on column public.sms_retry_queue.why_code is 'Why the row waits or has ended, in a word for programs: what why, or else last_error, says in words. Null: nothing was decided, or by version 1.0.0.';
comment on column public.sms_retry_queue.attempt_count is 'Sends made from the queue. A deferral, the recovery of a claim that was not begun and a request that was never sent do not count.';

create unique index if not exists sms_retry_queue_one_live_row
    on public.sms_retry_queue (send_log_id) where status in ('pending', 'processing');
-- What is due: the claim looks here first, and mostly finds nothing. sms_status counts by the included columns, which change
-- only with the status and so cost no HOT update.
create index if not exists sms_retry_queue_next
    on public.sms_retry_queue (scheduled_for, id) include (reason, attempt_count, held_since)
    where status = 'pending' and in_doubt_since is null;
-- The claim walks these business by business. No two have the same order, so that none can be taken for another.
create index if not exists sms_retry_queue_turns
    on public.sms_retry_queue (business_id, message_class, scheduled_for, id)
    where status = 'pending' and in_doubt_since is null;
create index if not exists sms_retry_queue_due_closing
    on public.sms_retry_queue (business_id, window_closes_at, id)
    where status = 'pending' and in_doubt_since is null and window_closes_at is not null;
create index if not exists sms_retry_queue_in_doubt
    on public.sms_retry_queue (scheduled_for, id) where status = 'pending' and in_doubt_since is not null;
create index if not exists sms_retry_queue_turns_in_doubt
    on public.sms_retry_queue (business_id, scheduled_for, id) where status = 'pending' and in_doubt_since is not null;
create index if not exists sms_retry_queue_suspect
    on public.sms_retry_queue (recover_count, scheduled_for)
    where status = 'pending' and recover_count > 0;
create index if not exists sms_retry_queue_customer on public.sms_retry_queue (customer_id);
create index if not exists sms_retry_queue_send_log on public.sms_retry_queue (send_log_id);
-- For the desk.
create index if not exists sms_retry_queue_held on public.sms_retry_queue (held_since) where held_since is not null;
-- For the desk and for pruning. A row enters it once.
create index if not exists sms_retry_queue_ended
    on public.sms_retry_queue (updated_at) where status in ('completed', 'failed', 'cancelled');
-- Recovery reads all claims. By id, because an index on the lease itself would cost every begin its HOT update.
create index if not exists sms_retry_queue_claimed on public.sms_retry_queue (id) where status = 'processing';

alter table public.sms_retry_queue enable row level security;

drop policy if exists "Owners read their retries" on public.sms_retry_queue;
create policy "Owners read their retries" on public.sms_retry_queue for select to authenticated
    using (business_id in (select b.id from public.businesses b where b.user_id = (select auth.uid())));

-- Without the last two conditions a tenant could have another tenant's text sent.
drop policy if exists "Owners queue retries of their texts" on public.sms_retry_queue;
create policy "Owners queue retries of their texts" on public.sms_retry_queue for insert to authenticated
    with check (
        status = 'pending' and attempt_count between 0 and max_attempts and max_attempts between 1 and 10
        and business_id in (select b.id from public.businesses b where b.user_id = (select auth.uid()))
        and exists (select 1 from public.send_logs l where l.id = send_log_id
                    and l.business_id = sms_retry_queue.business_id and l.customer_id = sms_retry_queue.customer_id)
        and exists (select 1 from public.customers c where c.id = customer_id
                    and c.business_id = sms_retry_queue.business_id)
    );

-- A Supabase project grants everything in public to anon and authenticated.
revoke all on public.sms_retry_queue from public, anon, authenticated;
grant select on public.sms_retry_queue to authenticated;
-- Claim number, lease and the like are not a tenant's to set.
revoke insert on public.sms_retry_queue from authenticated;
grant insert (id, business_id, send_log_id, customer_id, status, attempt_count, max_attempts, scheduled_for,
              last_error, reason)
    on public.sms_retry_queue to authenticated;
-- History is kept: a text that is no longer wanted is cancelled, not deleted.
revoke delete, truncate on public.sms_retry_queue from service_role;
grant select, insert, update on public.sms_retry_queue to service_role;

-- ======== by hand: public.sms_send_attempts ========
alter table public.sms_send_attempts add column if not exists sent_account text;
alter table public.sms_send_attempts add column if not exists segments integer;
create index if not exists sms_send_attempts_day on public.sms_send_attempts (sent_by, begun_at) include (segments, outcome)
    where segments is not null;

-- ======== schemas/tables/sms_send_attempts.sql ========
-- One row a send that was begun: inserted by begin, settled once, never deleted by a function. delivery_…: from Twilio.
create table if not exists public.sms_send_attempts (
    id uuid primary key,
    retry_id uuid not null references public.sms_retry_queue (id) on delete cascade,
    attempt_number integer not null,
    claim_no bigint not null,
    begun_at timestamptz not null,
    finished_at timestamptz,
    outcome text,
    settled_by text,
    error_code integer,
    twilio_sid text,
    consent_status text,
    consent_at timestamptz,
    consent_source text,
    quiet_hours_rule text,
    number_key bytea,
    sent_to text,
    sent_body text,
    sent_by text,
    worker_died boolean not null default false,
    run_id uuid,
    delivery_status text,
    delivery_code integer,
    delivery_at timestamptz,
    delivery_look_at timestamptz,
    delivery_looks integer not null default 0,
    business_id uuid,
    sent_account text,
    segments integer,
    constraint sms_send_attempts_outcome check (outcome in ('accepted', 'rejected', 'not_sent', 'in_doubt')),
    constraint sms_send_attempts_settled_by check (settled_by in ('response', 'callback', 'reconcile', 'operator')),
    -- An outcome and its time are set together.
    constraint sms_send_attempts_finished check ((finished_at is null) = (outcome is null)),
    -- Only an accepted message has a SID. A response without one is no acceptance; a send log that says sent is.
    constraint sms_send_attempts_sid check (
        case when outcome = 'accepted' then twilio_sid is not null or settled_by <> 'response' else twilio_sid is null end),
    -- A Twilio message belongs to one attempt.
    constraint sms_send_attempts_twilio_sid_key unique (twilio_sid),
    -- A claim sends at most once.
    constraint sms_send_attempts_one_per_claim unique (retry_id, claim_no),
    -- Number and body are kept only while evidence may be compared with them.
    constraint sms_send_attempts_private check (
        outcome is null or outcome = 'in_doubt' or (sent_to is null and sent_body is null)),
    -- Twilio's own words, and unknown: it reported nothing final for long enough.
    constraint sms_send_attempts_delivery check (delivery_status in (
        'accepted', 'scheduled', 'queued', 'sending', 'sent', 'unknown', 'undelivered', 'failed', 'canceled', 'delivered', 'read')),
    -- Only a message with a SID is reported on, and only a failure has a code.
    constraint sms_send_attempts_reported check (
        (twilio_sid is not null or (delivery_status is null and delivery_look_at is null))
        and (delivery_status is null) = (delivery_at is null)
        and (delivery_code is null or delivery_status in ('undelivered', 'failed', 'canceled')))
)
-- As sms_retry_queue.
with (autovacuum_analyze_scale_factor = 0, autovacuum_analyze_threshold = 5000);
comment on table public.sms_send_attempts is 'Every send that was begun and what became of it.';
comment on column public.sms_send_attempts.number_key is 'A keyed hash of business and number, by which texts to a person are counted: smsretry.number_key.';
comment on column public.sms_send_attempts.sent_to is 'With sent_body and sent_by: what was sent, until it is known what became of it. Evidence is compared with this and never with what the rows say now.';
comment on column public.sms_send_attempts.worker_died is 'It came into doubt because its worker died: nobody knows whether the request ever left.';
comment on column public.sms_send_attempts.run_id is 'The run that made it: smsretry.runs, and in Prefect the flow run of this id.';
comment on column public.sms_send_attempts.attempt_number is '1, 2, 3 … for retries; 0 for a text''s first send by send_sms.';
comment on column public.sms_send_attempts.consent_status is 'With consent_at and consent_source: the customer''s consent as it was read when the send began.';
comment on column public.sms_send_attempts.delivery_status is 'What Twilio last reported of the message: smsretry.delivery_rank has the order. Null: nothing yet.';
comment on column public.sms_send_attempts.delivery_code is 'Twilio''s code for a message that did not arrive.';
comment on column public.sms_send_attempts.delivery_at is 'When delivery_status was reported to us.';
comment on column public.sms_send_attempts.delivery_look_at is 'When to ask Twilio for it, or to decide about its failure. Null: nothing is open.';
comment on column public.sms_send_attempts.business_id is 'Whose it is, kept from when its delivery is open: deliveries are looked after business by business. See smsretry.open_delivery.';
comment on column public.sms_send_attempts.sent_account is 'The provider''s account that it went out from: all later questions about it go there. Null: begun by an older version, from the account of the environment.';
comment on column public.sms_send_attempts.segments is 'How many segments it has, if its sender has a cap a day.';
comment on column public.sms_send_attempts.delivery_looks is 'How often it was looked after. Fences what such a look comes to.';

-- For the daily cap.
create index if not exists sms_send_attempts_number
    on public.sms_send_attempts (number_key, (coalesce(finished_at, begun_at)));
-- What is in doubt or under way to a number: a look for evidence compares it. Few have sent_to.
create index if not exists sms_send_attempts_unknown on public.sms_send_attempts (sent_to) where sent_to is not null;
create index if not exists sms_send_attempts_open
    on public.sms_send_attempts (delivery_look_at) where delivery_look_at is not null;
create index if not exists sms_send_attempts_turns
    on public.sms_send_attempts (business_id, delivery_look_at, id) where delivery_look_at is not null;
-- What a sender with a cap has sent in the day.
create index if not exists sms_send_attempts_day on public.sms_send_attempts (sent_by, begun_at) include (segments, outcome)
    where segments is not null;
-- A BRIN, because attempts are only ever added.
create index if not exists sms_send_attempts_begun on public.sms_send_attempts using brin (begun_at) with (pages_per_range = 16);
-- For every look for evidence. A hash, because the value may be of any length.
create index if not exists send_logs_twilio_sid on public.send_logs using hash ((provider_message_id ->> 'twilio_sid'));

alter table public.sms_send_attempts enable row level security;

drop policy if exists "Owners read their attempts" on public.sms_send_attempts;
create policy "Owners read their attempts" on public.sms_send_attempts for select to authenticated
    using (exists (select 1 from public.sms_retry_queue q where q.id = retry_id));

-- A Supabase project grants everything in public to anon and authenticated.
revoke all on public.sms_send_attempts from public, anon, authenticated;
grant select on public.sms_send_attempts to authenticated;
-- Attempts are deleted only with their business.
revoke delete, truncate on public.sms_send_attempts from service_role;
grant select, insert, update on public.sms_send_attempts to service_role;

-- ======== schemas/helpers/sender_now.sql ========
-- The sender of a business's texts of this class, as a claim tells it, and its circuit. Null: smsretry.sender_of. The
-- circuit of a sender that is not in smsretry.senders is that of the environment's.
create or replace function smsretry.sender_now(
    business_id uuid, message_class text, out sent_by text, out sender jsonb, out opened_at timestamptz
)
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
    v_sender constant smsretry.senders := smsretry.sender_of(sender_now.business_id, sender_now.message_class);
begin
    if v_sender.id is null then
        opened_at := (
            select min(c.opened_at) from smsretry.circuit c
            where c.sender <> '' and not exists (select from smsretry.senders s where s.sent_by = c.sender));
        return;
    end if;
    sent_by := v_sender.sent_by;
    sender := jsonb_build_object(
        'id', v_sender.id, 'account', v_sender.account, 'sent_by', v_sender.sent_by,
        'segments_per_second', v_sender.segments_per_second, 'segments_per_day', v_sender.segments_per_day,
        'paused_because', v_sender.paused_because);
    opened_at := (select c.opened_at from smsretry.circuit c where c.sender = v_sender.sent_by);
end
$$;

-- ======== schemas/helpers/sender_of.sql ========
-- The sender of a business's texts of this class. All null: it has none of its own, and the environment's sends for it.
create or replace function smsretry.sender_of(business_id uuid, message_class text)
returns smsretry.senders language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
    v_sender smsretry.senders;
begin
    select s.* into v_sender
    from smsretry.business_senders b
    join smsretry.senders s on s.id = b.sender_id
    where b.business_id = sender_of.business_id and b.message_class in (sender_of.message_class, 'any')
    order by b.message_class = 'any' limit 1;
    return v_sender;
end
$$;

-- ======== drop smsretry.claimed_retry ========
drop view if exists smsretry.claimed_retry;

-- ======== schemas/views/claimed_retry.sql ========
-- What a claim returns to its worker: a row with everything that decides about it. Row level security is the caller's.
create or replace view smsretry.claimed_retry with (security_invoker = true) as
select q.id, q.business_id, q.send_log_id, q.customer_id, q.status, q.attempt_count, q.max_attempts,
       q.scheduled_for, q.last_attempted_at, left(q.last_error, smsretry.longest_reason()) as last_error, q.reason, q.created_at, q.updated_at,
       q.claim_no, q.claimed_at, q.expires_at, q.held_since is not null as held, left(q.why, smsretry.longest_reason()) as why,
       q.attempt_id, q.in_doubt_since, q.reconcile_count, q.rate_limit_count, q.account_refusal_count, q.message_class,
       a.begun_at as attempt_begun_at, a.sent_to, a.sent_body, a.sent_by,
       v.opened_at is not null or exists (select 1 from smsretry.circuit o where o.sender = '') as circuit_open,
       array(select s.state from smsretry.stopped_states s order by s.state) as stopped_states,
       -- Values are cut: a body of megabytes would cost the other rows of the claim.
       l.id is not null as send_log_found, left(l.subject, smsretry.longest_body() + 1) as body, left(l.channel::text, 40) as channel,
       smsretry.is_sent(l.provider_message_id, l.status::text) as log_says_sent,
       smsretry.found_sid(l.provider_message_id) as known_sid,
       c.id is not null as customer_found, left(c.phone, 40) as phone, left(c.timezone, 100) as timezone,
       -- The application's own processor goes by this; our workers check again at begin.
       case when q.claimed_by_application and smsretry.suppressed_since(smsretry.number_key(q.business_id, c.phone)) is not null
            then 'opted_out' else left(c.sms_consent_status::text, 40) end as sms_consent_status,
       left(b.timezone, 100) as business_timezone, left(b.sms_hours, 1000) as business_hours,
       smsretry.decided_by(c.phone, c.timezone, b.timezone, b.sms_hours) as decided_by,
       -- Undelivered messages of this text, newest first: the provider is asked once more before another one leaves. A text
       -- with one row and no error has none.
       case when q.last_error is null
                 and cardinality(array(select o.id from public.sms_retry_queue o where o.send_log_id = q.send_log_id)) < 2
            then '{}' else array(
           select m.twilio_sid from public.sms_send_attempts m
           -- An array, so that an index finds them without statistics.
           where m.retry_id = any (array(select o.id from public.sms_retry_queue o where o.send_log_id = q.send_log_id))
             and smsretry.is_lost(m.delivery_status)
           order by m.begun_at desc) end as lost_sids,
       -- Since when it might have gone out: not before it was queued, unless it was planned.
       case when q.scheduled_for < q.created_at
                 and not exists (select 1 from public.scheduled_sends s
                                 where s.id = q.send_log_id and s.business_id = q.business_id)
            then q.created_at else q.scheduled_for end as due_since,
       -- For a row in doubt: bodies of other sends to that number in doubt or under way, the nearest in time first. A message
       -- with those words is theirs.
       case when q.in_doubt_since is null then '{}' else array(
           select o.sent_body from public.sms_send_attempts o
           where o.sent_to = a.sent_to and o.id <> a.id and o.sent_body <> coalesce(a.sent_body, '')
           group by o.sent_body order by min(abs(extract(epoch from o.begun_at - a.begun_at))), o.sent_body
           limit 20) end as other_bodies,
       v.opened_at as circuit_opened_at,
       (select min(o.opened_at) from smsretry.business_circuits o
        where o.business_id = q.business_id and o.sender = coalesce(v.sent_by, o.sender)) as business_circuit_opened_at,
       (select max(o.tried_at) from smsretry.business_circuits o
        where o.business_id = q.business_id and o.sender = coalesce(v.sent_by, o.sender)) as business_circuit_tried_at,
       exists (select 1 from public.sms_retry_queue o
               where o.status = 'pending' and o.recover_count >= smsretry.suspect_after() and o.scheduled_for <= smsretry.clock()) as suspects_wait,
       -- Only preview_sms_retries fills these in.
       null::text as refused, null::text as doubted, null::timestamptz[] as texts_at,
       smsretry.longest_body() as longest_body, smsretry.masked(left(c.phone, 40)) as number,
       q.why_code, null::text as refused_code,
       -- The claims of due texts set it.
       true as others_wait,
       -- Null: the sender of the runner's environment.
       v.sender, a.sent_account,
       -- Where lost_sids are, in the same order.
       case when q.last_error is null
                 and cardinality(array(select o.id from public.sms_retry_queue o where o.send_log_id = q.send_log_id)) < 2
            then '{}' else array(
           select coalesce(m.sent_account, '') from public.sms_send_attempts m
           where m.retry_id = any (array(select o.id from public.sms_retry_queue o where o.send_log_id = q.send_log_id))
             and smsretry.is_lost(m.delivery_status)
           order by m.begun_at desc) end as lost_accounts,
       (select o.opened_at from smsretry.circuit o where o.sender = '') as provider_circuit_opened_at,
       -- As others_wait, of those with the same sender.
       true as sender_others_wait
from public.sms_retry_queue q
left join public.sms_send_attempts a on a.id = q.attempt_id
-- Consent is given to one business.
left join public.send_logs l on l.id = q.send_log_id and l.business_id = q.business_id
left join public.customers c on c.id = q.customer_id and c.business_id = q.business_id
left join public.businesses b on b.id = q.business_id
left join lateral smsretry.sender_now(q.business_id, q.message_class) v on true;

grant select on smsretry.claimed_retry to service_role;

-- ======== drop smsretry.scheduled_claim ========
drop view if exists smsretry.scheduled_claim;

-- ======== schemas/views/scheduled_claim.sql ========
-- A scheduled send as its claim will be once it is queued, for preview_sms_retries. Columns: smsretry.claimed_retry.
create or replace view smsretry.scheduled_claim with (security_invoker = true) as
select s.id, s.business_id, s.id as send_log_id, s.customer_id, 'pending'::text as status, 0 as attempt_count, 3 as max_attempts,
       s.scheduled_for, null::timestamptz as last_attempted_at, null::text as last_error, null::text as reason,
       s.created_at, s.updated_at, 0::bigint as claim_no, null::timestamptz as claimed_at, s.not_after as expires_at,
       s.held_since is not null or h.scheduled_id is not null as held, coalesce(h.why, s.why) as why, null::uuid as attempt_id, null::timestamptz as in_doubt_since,
       0 as reconcile_count, 0 as rate_limit_count, 0 as account_refusal_count, s.message_class,
       null::timestamptz as attempt_begun_at, null::text as sent_to, null::text as sent_body, null::text as sent_by,
       v.opened_at is not null or exists (select 1 from smsretry.circuit o where o.sender = '') as circuit_open,
       array(select t.state from smsretry.stopped_states t order by t.state) as stopped_states,
       true as send_log_found, left(s.body, smsretry.longest_body() + 1) as body, 'sms'::text as channel, false as log_says_sent,
       null::text as known_sid,
       c.id is not null as customer_found, left(c.phone, 40) as phone, left(c.timezone, 100) as timezone,
       left(c.sms_consent_status::text, 40) as sms_consent_status,
       left(b.timezone, 100) as business_timezone, left(b.sms_hours, 1000) as business_hours,
       smsretry.decided_by(c.phone, c.timezone, b.timezone, b.sms_hours) as decided_by, array[]::text[] as lost_sids,
       s.scheduled_for as due_since,
       array[]::text[] as other_bodies,
       v.opened_at as circuit_opened_at,
       null::timestamptz as business_circuit_opened_at, null::timestamptz as business_circuit_tried_at,
       false as suspects_wait,
       null::text as refused, null::text as doubted, null::timestamptz[] as texts_at,
       smsretry.longest_body() as longest_body, smsretry.masked(left(c.phone, 40)) as number,
       case when h.scheduled_id is not null then 'row_refused' else s.why_code end as why_code, null::text as refused_code,
       true as others_wait, v.sender, null::text as sent_account, array[]::text[] as lost_accounts,
       (select o.opened_at from smsretry.circuit o where o.sender = '') as provider_circuit_opened_at,
       true as sender_others_wait
from public.scheduled_sends s
left join smsretry.held_sends h on h.scheduled_id = s.id
left join public.customers c on c.id = s.customer_id and c.business_id = s.business_id
left join public.businesses b on b.id = s.business_id
left join lateral smsretry.sender_now(s.business_id, s.message_class) v on true
where s.status = 'scheduled';

grant select on smsretry.scheduled_claim to service_role;

-- ======== schemas/queue/write_attempt.sql ========
-- Record a send that begins: what is sent, to whom, under which consent and rule. The rows say what is not given.
create or replace function smsretry.write_attempt(
    retry public.sms_retry_queue, id uuid, attempt_number integer, begun_at timestamptz, rule text default null,
    body text default null, sent_by text default null, run_id uuid default null,
    sent_account text default null, segments integer default null
)
returns void language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    insert into public.sms_send_attempts (
        id, retry_id, attempt_number, claim_no, begun_at, consent_status, consent_at, consent_source, quiet_hours_rule,
        number_key, sent_to, sent_body, sent_by, run_id, sent_account, segments)
    select write_attempt.id, retry.id, write_attempt.attempt_number, retry.claim_no, write_attempt.begun_at,
           left(c.sms_consent_status::text, 40), c.sms_consent_at, left(c.sms_consent_source::text, 200), write_attempt.rule,
           smsretry.number_key(retry.business_id, c.phone), left(c.phone, 40),
           coalesce(write_attempt.body, left(l.subject, smsretry.longest_body() + 1)), write_attempt.sent_by, write_attempt.run_id,
           write_attempt.sent_account, write_attempt.segments
    from (select 1) one
    left join public.customers c on c.id = retry.customer_id
    left join public.send_logs l on l.id = retry.send_log_id;
end
$$;

-- ======== schemas/worker/admit_send.sql ========
-- Whether the send of a claimed row may begin now. Parameters and answers: begin_sms_attempt. A text that may not go is
-- ended here, and one whose earlier message may have gone out is put in doubt.
create or replace function smsretry.admit_send(
    retry public.sms_retry_queue, send_before timestamptz, phone text, decided_by text, cap integer, cap_since timestamptz,
    expires_at timestamptz, life interval, sender_id uuid, segments integer,
    out answer text, out why text, out why_code text, out decided_at timestamptz, out reached_at timestamptz
)
language plpgsql set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_variable
declare
    v_customer public.customers;
    v_business public.businesses;
    v_log public.send_logs;
    v_key bytea;
    v_sender smsretry.senders;
    v_spent_until timestamptz;
begin
    -- `for share`: an opt-out is either seen here or waits until this send is begun.
    select * into v_customer from public.customers c
    where c.id = retry.customer_id and c.business_id = retry.business_id for share;
    if phone is null then
        perform smsretry.lock_number(retry.business_id, v_customer.phone);
    end if;
    v_key := smsretry.number_key(retry.business_id, v_customer.phone);
    select * into v_business from public.businesses b where b.id = retry.business_id;
    if cap is not null then
        reached_at := smsretry.cap_reached_at(retry.business_id, v_customer.phone, cap, cap_since);
    end if;
    -- `for share`: what finish could not write must not be sent.
    select * into v_log from public.send_logs l
    where l.id = retry.send_log_id and l.business_id = retry.business_id for share;
    decided_at := smsretry.clock(); -- after these locks: waiting for them took time

    if v_customer.id is null or v_log.id is null or v_log.channel::text <> 'sms' then
        answer := 'changed'; -- deleted: the next decision says so
        return;
    end if;
    select r.why, r.why_code into why, why_code
    from smsretry.refusal(
        smsretry.is_sent(v_log.provider_message_id, v_log.status::text), v_customer.sms_consent_status::text, v_key) r;
    if why_code is null and retry.expires_at <= decided_at then
        why := 'Expired before it could be sent';
        why_code := 'expired';
    end if;
    if why_code is not null then
        perform smsretry.close_row(retry, 'cancelled', why, why_code, null, decided_at);
        answer := 'ended';
        return;
    end if;
    retry.expires_at := coalesce(retry.expires_at, expires_at, decided_at + life);
    why := smsretry.put_in_doubt(retry, decided_at);
    if why is not null then
        why_code := (select q.why_code from public.sms_retry_queue q where q.id = retry.id);
    end if;
    v_sender := smsretry.sender_of(retry.business_id, retry.message_class);
    if v_sender.segments_per_day is not null then
        v_spent_until := smsretry.spent_until(v_sender.sent_by, v_sender.segments_per_day, segments, decided_at);
    end if;
    answer := case
        when why is not null then 'lost'
        when decided_at >= send_before then 'closed'
        when v_customer.phone is distinct from coalesce(phone, v_customer.phone)
            or smsretry.decided_by(v_customer.phone, v_customer.timezone, v_business.timezone, v_business.sms_hours) <> decided_by
            or v_sender.id is distinct from sender_id or v_sender.paused_at is not null
            then 'changed'
        when v_spent_until is not null then 'spent'
        when reached_at is not null then 'capped'
        else 'go'
    end;
    reached_at := coalesce(case when answer = 'spent' then v_spent_until end, reached_at);
end
$$;

-- ======== schemas/worker/answer_sms_call.sql ========
-- Make one call of a worker's: function, and its parameters as JSON by name.
create or replace function smsretry.answer_sms_call(function text, v jsonb)
returns jsonb language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    case answer_sms_call.function
        when 'begin_sms_attempt' then
            return (select to_jsonb(b) from public.begin_sms_attempt(
                retry_id => (v ->> 'retry_id')::uuid, claim_no => (v ->> 'claim_no')::bigint,
                attempt_id => (v ->> 'attempt_id')::uuid, send_before => (v ->> 'send_before')::timestamptz,
                quiet_hours_rule => v ->> 'quiet_hours_rule', first_send => coalesce((v ->> 'first_send')::boolean, false),
                cap => (v ->> 'cap')::integer, cap_since => (v ->> 'cap_since')::timestamptz, phone => v ->> 'phone',
                body => v ->> 'body', sent_by => v ->> 'sent_by', decided_by => v ->> 'decided_by',
                life => (v ->> 'life')::interval, run_id => (v ->> 'run_id')::uuid,
                expires_at => (v ->> 'expires_at')::timestamptz, sender_id => (v ->> 'sender_id')::uuid,
                sent_account => v ->> 'sent_account', segments => (v ->> 'segments')::integer) b);
        when 'finish_sms_attempt' then
            return (select to_jsonb(f) from public.finish_sms_attempt(
                retry_id => (v ->> 'retry_id')::uuid, claim_no => (v ->> 'claim_no')::bigint,
                attempt_id => (v ->> 'attempt_id')::uuid, outcome => v ->> 'outcome', next_status => v ->> 'next_status',
                error => v ->> 'error', error_code => (v ->> 'error_code')::integer, twilio_sid => v ->> 'twilio_sid',
                retry_in => (v ->> 'retry_in')::interval, reason => v ->> 'reason',
                counted => coalesce((v ->> 'counted')::boolean, true), phone => v ->> 'phone',
                opted_out => coalesce((v ->> 'opted_out')::boolean, false), phone_status => v ->> 'phone_status',
                account_refused => coalesce((v ->> 'account_refused')::boolean, false), why_code => v ->> 'why_code') f);
        when 'defer_sms_retry' then
            return to_jsonb(public.defer_sms_retry(
                retry_id => (v ->> 'retry_id')::uuid, claim_no => (v ->> 'claim_no')::bigint,
                until => (v ->> 'until')::timestamptz, reason => v ->> 'reason', why => v ->> 'why',
                life => (v ->> 'life')::interval, window_closes_at => (v ->> 'window_closes_at')::timestamptz,
                expires_at => (v ->> 'expires_at')::timestamptz, why_code => v ->> 'why_code'));
        when 'hold_sms_retry' then
            return to_jsonb(public.hold_sms_retry(
                retry_id => (v ->> 'retry_id')::uuid, claim_no => (v ->> 'claim_no')::bigint, why => v ->> 'why',
                look_in => (v ->> 'look_in')::interval, life => (v ->> 'life')::interval,
                expires_at => (v ->> 'expires_at')::timestamptz, why_code => v ->> 'why_code'));
        when 'end_sms_retry' then
            return to_jsonb(public.end_sms_retry(
                retry_id => (v ->> 'retry_id')::uuid, claim_no => (v ->> 'claim_no')::bigint,
                final_status => v ->> 'final_status', error => v ->> 'error', error_code => (v ->> 'error_code')::integer,
                why_code => v ->> 'why_code'));
        else
            raise exception 'There is no call % in a group', answer_sms_call.function using errcode = 'SR422';
    end case;
end
$$;

-- ======== schemas/worker/begin_sms_attempt.sql ========
-- Just before the request leaves: may it still go? The transaction that reads consent and counts the number's texts also
-- writes the attempt. May be repeated with the same attempt_id.
--   answer: go
--     | lost     another worker has the row, or (why says so) it is now in doubt about an earlier send
--     | changed  number, zone, hours, customer, send log or sender are no longer what the decision was made from: decide again
--     | closed   send_before has come: decide again
--     | capped   the number has had cap texts since cap_since; there is room when the one of reached_at no longer counts
--     | spent    the sender has used its day, which turns over at reached_at
--     | ended    the row is finished; why and why_code say the reason
-- sender_id: of smsretry.senders; null: the environment's. sent_account and sent_by are what the request will name.
-- decided_at: the database's clock. phone and body are kept until the outcome is known. expires_at: when the text
-- is of no more use, if nothing has said so before; otherwise life: how long it is of use from now on.
create or replace function public.begin_sms_attempt(
    retry_id uuid, claim_no bigint, attempt_id uuid, send_before timestamptz, quiet_hours_rule text,
    first_send boolean default false, cap integer default null, cap_since timestamptz default null,
    phone text default null, body text default null, sent_by text default null, decided_by text default null,
    life interval default null, run_id uuid default null, expires_at timestamptz default null,
    sender_id uuid default null, sent_account text default null, segments integer default null
)
returns table (answer text, why text, decided_at timestamptz, reached_at timestamptz, why_code text)
language plpgsql security invoker set search_path = pg_catalog, pg_temp
-- If a long transaction holds the customer or the send log locked, this text waits, and not the worker.
set lock_timeout = '2s' as $$
#variable_conflict use_variable
declare
    v_row public.sms_retry_queue;
begin
    perform smsretry.wait_shortly();
    if claim_no is null or attempt_id is null or send_before is null then
        raise exception 'claim_no, attempt_id and send_before must be given: without them nothing is checked'
            using errcode = 'SR422';
    end if;
    if cap is not null and cap_since is null then
        raise exception 'cap_since is missing: a cap counts the texts since a moment' using errcode = 'SR422';
    end if;
    -- One at a time to a number, or two texts would each be counted without the other.
    perform smsretry.lock_number(q.business_id, phone) from public.sms_retry_queue q where q.id = retry_id;
    v_row := smsretry.fenced(retry_id, claim_no);
    decided_at := smsretry.clock();
    if v_row.id is null or v_row.in_doubt_since is not null or v_row.begun_at is not null and v_row.attempt_id <> attempt_id then
        answer := 'lost';
    elsif v_row.begun_at is not null then
        answer := 'go'; -- the answer to the same call was lost on its way
    else
        select a.answer, a.why, a.why_code, a.decided_at, case when a.answer in ('capped', 'spent') then a.reached_at end
        into answer, why, why_code, decided_at, reached_at
        from smsretry.admit_send(v_row, send_before, phone, decided_by, cap, cap_since, expires_at, life, sender_id, segments) a;
        if answer = 'go' then
            perform smsretry.write_attempt(
                v_row, attempt_id, case when first_send then 0 else v_row.attempt_count + 1 end, decided_at,
                quiet_hours_rule, body, sent_by, run_id, sent_account, segments);
            v_row.begun_at := decided_at;
            v_row.attempt_id := attempt_id;
            v_row.last_attempted_at := decided_at;
            v_row.why := null;
            v_row.why_code := null;
            v_row.held_since := null;
            v_row.recover_count := 0;
            v_row.claimed_by_application := false;
            v_row.expires_at := coalesce(v_row.expires_at, expires_at, decided_at + life);
            perform smsretry.save_row(v_row, decided_at);
        end if;
    end if;
    return next;
end
$$;

-- ======== schemas/worker/claim_due_sms_retries.sql ========
-- Claim up to limit_count due rows (smsretry.rows_of_claim), business by business in turns (smsretry.in_turn). Within a
-- business, transactional texts come first, then those whose window closes within the hour. Neither doubtful nor suspect rows.
-- others_wait: a business has a text due and none in this claim.
-- begins: the caller begins each send with begin_sms_attempt. The application's own processor does not: if it dies, its
-- claim counts as a send that may have been made.
create or replace function public.claim_due_sms_retries(limit_count integer default null, begins boolean default false)
returns setof smsretry.claimed_retry
language plpgsql security invoker set search_path = pg_catalog, pg_temp
-- As on Supabase: a claim whose caller has given up would keep its rows.
set statement_timeout = '8s' as $$
declare
    v_now constant timestamptz := smsretry.clock();
    v_turn record;
    v_claims smsretry.claimed_retry[];
    v_claim smsretry.claimed_retry;
    v_others_wait boolean;
begin
    select * into v_turn
    from smsretry.claim_in_turn('texts', smsretry.rows_of_claim(limit_count), v_now);
    v_claims := array(select t from smsretry.take(v_turn.ids, v_now, begins is not true) t);
    v_others_wait := not v_turn.complete or exists (
        select from unnest(v_turn.businesses) b where b not in (select c.business_id from unnest(v_claims) c));
    foreach v_claim in array v_claims loop
        v_claim.others_wait := v_others_wait;
        return next v_claim;
    end loop;
end
$$;

-- ======== schemas/worker/claim_sms_retry.sql ========
-- Claim one pending row by its id, due or not, for the caller who has just queued it. No row: it is not pending, or in
-- doubt. Raises if it cannot be claimed.
create or replace function public.claim_sms_retry(retry_id uuid)
returns setof smsretry.claimed_retry
language plpgsql security invoker set search_path = pg_catalog, pg_temp as $$
begin
    perform 1 from public.sms_retry_queue q
    where q.id = claim_sms_retry.retry_id and q.status = 'pending' and q.in_doubt_since is null
    for update;
    if found then
        perform smsretry.take_row(claim_sms_retry.retry_id, smsretry.clock(), false);
        return query select r.* from smsretry.claimed_retry r where r.id = claim_sms_retry.retry_id;
    end if;
end
$$;

-- ======== schemas/worker/claim_sms_texts.sql ========
-- For a worker: claim up to limit_count due rows, as claim_due_sms_retries. sender, account, segments_per_second: of the
-- worker's environment, which sends for every business without a sender of its own.
--   without: senders whose texts are not to be claimed now
create or replace function public.claim_sms_texts(
    limit_count integer, sender text default null, account text default null,
    segments_per_second double precision default null, without text[] default '{}'
)
returns setof smsretry.claimed_retry
language plpgsql security invoker set search_path = pg_catalog, pg_temp
set statement_timeout = '8s' as $$ -- as claim_due_sms_retries
#variable_conflict use_variable
begin
    if sender is not null and account is not null then
        insert into smsretry.default_senders as d (sent_by, account, segments_per_second, seen_at)
        values (sender, account, segments_per_second, smsretry.clock())
        on conflict (sent_by) do update
        set account = excluded.account, segments_per_second = excluded.segments_per_second, seen_at = excluded.seen_at
        where (d.account, d.segments_per_second) is distinct from (excluded.account, excluded.segments_per_second);
    end if;
    return query select * from public.claim_due_sms_retries(limit_count, true);
end
$$;

-- ======== schemas/worker/claim_suspect_sms_retry.sql ========
-- Claim one due suspect row alone, because it may kill its worker, or none. The one whose claims died least often goes
-- first; one that cannot be claimed is passed over.
create or replace function public.claim_suspect_sms_retry()
returns setof smsretry.claimed_retry
language plpgsql security invoker set search_path = pg_catalog, pg_temp
set statement_timeout = '8s' as $$ -- as claim_due_sms_retries
declare
    v_now constant timestamptz := smsretry.clock();
    v_until constant timestamptz := clock_timestamp() + interval '1 second';
    v_id uuid;
begin
    for v_id in
        select q.id from public.sms_retry_queue q
        where q.status = 'pending' and q.recover_count >= smsretry.suspect_after() and q.scheduled_for <= v_now
        order by q.recover_count, q.scheduled_for
        limit 50
        for update skip locked
    loop
        return query select * from smsretry.take(array[v_id], v_now);
        exit when found or clock_timestamp() > v_until;
    end loop;
end
$$;

-- ======== schemas/worker/spent_until.sql ========
-- When the day turns over at the carriers, if the sender has no room left in it for so many segments; null: it has. Counted
-- is what may have gone out since then. "Resets at 00:00 Pacific": T-Mobile's daily limit on a brand.
create or replace function smsretry.spent_until(sent_by text, segments_per_day integer, segments integer, at timestamptz)
returns timestamptz language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
    k_zone constant text := 'America/Los_Angeles';
    v_day constant timestamp := date_trunc('day', spent_until.at at time zone k_zone);
    v_used bigint;
begin
    select coalesce(sum(a.segments), 0) into v_used
    from public.sms_send_attempts a
    where a.segments is not null and a.sent_by = spent_until.sent_by and a.begun_at >= v_day at time zone k_zone
      and coalesce(a.outcome, 'in_doubt') in ('accepted', 'in_doubt');
    if v_used + coalesce(spent_until.segments, 1) > spent_until.segments_per_day then
        return (v_day + interval '1 day') at time zone k_zone;
    end if;
end
$$;

-- ======== schemas/worker/take.sql ========
-- Claim these rows, which the caller has found pending and locked, and return those that could be claimed. by_application:
-- smsretry.take_row. If a trigger of the application's is slow for one business, or refuses a row, that row stays pending,
-- its business is set apart, and the others are claimed. What there was no time for stays pending, too.
create or replace function smsretry.take(ids uuid[], at timestamptz, by_application boolean default false)
returns setof smsretry.claimed_retry
language plpgsql set search_path = pg_catalog, pg_temp
set lock_timeout = '500ms' -- for what a trigger waits for
-- Without statistics a plan would read whole tables.
set enable_hashjoin = off set enable_mergejoin = off set jit = off as $$
declare
    v_until constant timestamptz := clock_timestamp() + interval '1 second';
    v_order uuid[];
    v_owners uuid[];
    v_apart uuid[];
    v_began timestamptz;
    v_took uuid[] := '{}';
    v_whose uuid[] := '{}';
    v_skip uuid[] := '{}';
    v_tried integer := 0;
    v_state text;
begin
    -- Of a business that is set apart, one row after the others, and another one each time: not all may be slow.
    select array_agg(o.id order by o.apart, o.place), array_agg(o.business_id order by o.apart, o.place),
           array_agg(o.business_id) filter (where o.apart)
    into v_order, v_owners, v_apart
    from (
        select q.id, q.business_id, i.place, s.business_id is not null as apart, s.retry_at,
               row_number() over (partition by q.business_id order by md5(q.id::text || take.at::text)) as nth
        from unnest(take.ids) with ordinality as i (id, place)
        join public.sms_retry_queue q on q.id = i.id
        left join smsretry.set_apart s on s.business_id = q.business_id
    ) o
    where not o.apart or (o.nth = 1 and o.retry_at <= take.at);

    begin
        for n in 1 .. coalesce(cardinality(v_order), 0) loop
            v_began := clock_timestamp();
            exit when v_began > v_until;
            continue when v_owners[n] = any (v_skip);
            v_tried := n;
            if smsretry.take_row(v_order[n], take.at, take.by_application) then
                v_took := v_took || v_order[n];
                v_whose := v_whose || v_owners[n];
            end if;
            if smsretry.took_long(v_began) then
                v_skip := v_skip || v_owners[n];
                perform smsretry.set_business_apart(v_owners[n], v_began, null, take.at);
            elsif v_owners[n] = any (v_apart) then
                delete from smsretry.set_apart s where s.business_id = v_owners[n];
            end if;
        end loop;
        set constraints all immediate; -- what is only asked at the end would undo all of them
    exception
        when query_canceled then
            v_state := sqlstate;
        when others then
            v_state := sqlstate;
    end;
    if v_state = '57014' then
        -- The statement timeout does not start again: only what was quick is repeated.
        perform smsretry.set_business_apart(v_owners[v_tried], v_began, v_state, take.at);
        v_took := smsretry.take_each(v_took, v_whose, take.at, take.by_application);
    elsif v_state is not null then
        v_took := smsretry.take_each(v_order, v_owners, take.at, take.by_application);
    end if;
    return query
    select r.* from smsretry.claimed_retry r where r.id = any (v_took) order by r.scheduled_for, r.id;
end
$$;

-- ======== schemas/doubt/claim_doubtful_sms_retries.sql ========
-- Claim up to limit_count rows in doubt (smsretry.rows_of_claim) whose next look for evidence is due. Businesses take turns,
-- the longest waiting row of each first. Suspect rows are left to claim_suspect_sms_retry.
create or replace function public.claim_doubtful_sms_retries(limit_count integer default null)
returns setof smsretry.claimed_retry
language plpgsql security invoker set search_path = pg_catalog, pg_temp
set statement_timeout = '8s' as $$ -- as claim_due_sms_retries
declare
    v_now constant timestamptz := smsretry.clock();
    v_ids constant uuid[] := (smsretry.claim_in_turn('doubtful', smsretry.rows_of_claim(limit_count), v_now)).ids;
begin
    return query select * from smsretry.take(v_ids, v_now);
end
$$;

-- ======== schemas/delivery/claim_sms_deliveries.sql ========
-- Claim accepted messages without a final delivery status, and undelivered ones whose text awaits a decision. Businesses
-- take turns, the longest waiting message of each first; none younger than first_look, so that the provider's callback may
-- come first. A failure is due at once. The claim lasts for `lease`.
--   failures: undelivered messages of this text, this one included · settled: no decision is needed, because the row has not
--   ended with this message, or another row of the text waits · may_have_arrived: another message of it may have
create or replace function public.claim_sms_deliveries(
    limit_count integer default 1000, first_look interval default null, lease interval default '10 minutes'
)
returns table (
    attempt_id uuid, looks integer, retry_id uuid, business_id uuid, customer_id uuid, send_log_id uuid, twilio_sid text,
    accepted_at timestamptz, delivery_status text, delivery_code integer, failures bigint, attempt_count integer,
    max_attempts integer, expires_at timestamptz, settled boolean, may_have_arrived boolean, claimed_at timestamptz,
    sent_account text
)
language plpgsql security invoker set search_path = pg_catalog, pg_temp as $$
declare
    v_now constant timestamptz := smsretry.clock();
    v_first_look constant interval := coalesce(claim_sms_deliveries.first_look, interval '0');
    v_ids uuid[];
begin
    if (claim_sms_deliveries.limit_count between 1 and 10000 and v_first_look >= interval '0'
        and claim_sms_deliveries.lease >= interval '0') is not true then
        raise exception 'limit_count must be 1 to 10000, first_look and lease 0 or more' using errcode = 'SR422';
    end if;
    v_ids := (smsretry.claim_in_turn('deliveries', limit_count, v_now, v_now - v_first_look)).ids;
    return query
    with taken as (
        update public.sms_send_attempts a
        set delivery_look_at = v_now + claim_sms_deliveries.lease, delivery_looks = a.delivery_looks + 1
        where a.id = any (v_ids)
        returning a.*
    )
    select t.id, t.delivery_looks, q.id, q.business_id, q.customer_id, q.send_log_id, t.twilio_sid,
           t.finished_at, t.delivery_status, t.delivery_code,
           (select count(*) from public.sms_send_attempts a
            -- An array, so that an index finds them without statistics.
            where a.retry_id = any (array(select o.id from public.sms_retry_queue o where o.send_log_id = q.send_log_id))
              and (a.id = t.id or smsretry.is_lost(a.delivery_status))),
           greatest(q.attempt_count, t.attempt_number), q.max_attempts, q.expires_at,
           q.status <> 'completed' or l.id is null or smsretry.found_sid(l.provider_message_id) is distinct from t.twilio_sid
               or exists (select 1 from public.sms_retry_queue o
                          where o.send_log_id = q.send_log_id and o.status in ('pending', 'processing')),
           smsretry.may_have_arrived(q.send_log_id, t.id), v_now, t.sent_account
    from unnest(v_ids) with ordinality as u (id, turn)
    join taken t on t.id = u.id
    join public.sms_retry_queue q on q.id = t.retry_id
    left join public.send_logs l on l.id = q.send_log_id
    order by u.turn;
end
$$;

-- ======== schemas/desk/preview_sms_retries.sql ========
-- Waiting texts and scheduled sends as a claim would return them now, without claiming. Either those due by `until`, in
-- pages (after the due time and id of the last row), or these rows by id. Each with what its begin would find now:
--   refused, refused_code: smsretry.refusal · doubted: smsretry.earlier_doubt
--   texts_at: when the texts that count against a cap reached the number, within cap_window, newest first
create or replace function public.preview_sms_retries(
    until timestamptz default null, after_due timestamptz default null, after_id uuid default null,
    retry_ids uuid[] default null, row_limit integer default null, cap_window interval default null
)
returns setof smsretry.claimed_retry
language plpgsql stable security invoker set search_path = pg_catalog, pg_temp as $$
declare
    v_limit constant integer := greatest(smsretry.rows_of_claim(coalesce(preview_sms_retries.row_limit, smsretry.largest_claim())), 1);
    v_ids uuid[];
    v_claim smsretry.claimed_retry;
    v_at timestamptz;
begin
    if num_nonnulls(preview_sms_retries.until, preview_sms_retries.retry_ids) <> 1 then
        raise exception 'until or retry_ids must be given: which texts to preview' using errcode = 'SR422';
    end if;
    v_ids := array(
        select w.id from (
            (select q.id, q.scheduled_for from public.sms_retry_queue q
             where q.status = 'pending' and q.in_doubt_since is null
               and (preview_sms_retries.retry_ids is null or q.id = any (preview_sms_retries.retry_ids))
               and (preview_sms_retries.until is null or q.scheduled_for <= preview_sms_retries.until)
               and (preview_sms_retries.after_due is null
                    or (q.scheduled_for, q.id) > (preview_sms_retries.after_due, preview_sms_retries.after_id))
             order by q.scheduled_for, q.id limit v_limit)
            union all
            (select s.id, s.scheduled_for from public.scheduled_sends s
             where s.status = 'scheduled'
               and (preview_sms_retries.retry_ids is null or s.id = any (preview_sms_retries.retry_ids))
               and (preview_sms_retries.until is null or s.scheduled_for <= preview_sms_retries.until)
               and (preview_sms_retries.after_due is null
                    or (s.scheduled_for, s.id) > (preview_sms_retries.after_due, preview_sms_retries.after_id))
             order by s.scheduled_for, s.id limit v_limit)
        ) w
        order by w.scheduled_for, w.id
        limit v_limit);
    for v_claim in
        select r.* from smsretry.claimed_retry r where r.id = any (v_ids)
        union all
        select s.* from smsretry.scheduled_claim s where s.id = any (v_ids)
        order by scheduled_for, id
    loop
        v_claim.claimed_at := smsretry.clock();
        select r.why, r.why_code into v_claim.refused, v_claim.refused_code
        from smsretry.refusal(
            v_claim.log_says_sent, v_claim.sms_consent_status, smsretry.number_key(v_claim.business_id, v_claim.phone)) r;
        if v_claim.claim_no > 0 then
            select d.why into v_claim.doubted from smsretry.earlier_doubt(v_claim.send_log_id, v_claim.business_id) d;
        end if;
        v_claim.texts_at := '{}';
        while preview_sms_retries.cap_window is not null and cardinality(v_claim.texts_at) < 20 loop
            v_at := smsretry.cap_reached_at(
                v_claim.business_id, v_claim.phone, cardinality(v_claim.texts_at) + 1,
                v_claim.claimed_at - preview_sms_retries.cap_window);
            exit when v_at is null;
            v_claim.texts_at := v_claim.texts_at || v_at;
        end loop;
        return next v_claim;
    end loop;
end
$$;

-- ======== schemas/rights/internal_functions.sql ========
-- Only the backend calls the functions in the schema smsretry.
revoke all on all functions in schema smsretry from public, anon, authenticated;
grant execute on all functions in schema smsretry to service_role;

-- ======== schemas/rights/public_functions.sql ========
-- Only the backend calls our functions in public. A Supabase project lets everybody call a new one.
do $$
declare
    version regprocedure;
begin
    for version in
        select p.oid::regprocedure from pg_catalog.pg_proc p
        where p.pronamespace = 'public'::regnamespace and 'search_path=pg_catalog, pg_temp' = any (p.proconfig) and p.proname in (
        'begin_sms_attempt', 'cancel_sms_retries', 'check_sms_retries', 'check_sms_retry_setup',
        'claim_doubtful_sms_retries', 'claim_due_sms_retries', 'claim_sms_deliveries', 'claim_sms_retry',
        'claim_sms_texts', 'claim_suspect_sms_retry', 'count_sms_answer', 'defer_sms_retry', 'describe_sms_tables',
        'doubt_sms_retries', 'end_sms_retry', 'explain_sms', 'finish_sms_attempt', 'finish_sms_delivery',
        'finish_sms_run', 'group_sms_calls', 'hold_sms_retry', 'lease_sms_sender', 'lease_sms_time', 'next_sms_due',
        'preview_sms_retries', 'prune_sms_history', 'queue_scheduled_sms', 'queue_sms_retry', 'reconcile_sms_retry',
        'record_inbound_sms', 'record_sms_consent', 'recover_stuck_sms_retries', 'requeue_failed_sms',
        'resolve_sms_doubt', 'schedule_sms', 'set_sms_circuit', 'set_sms_state_stop', 'settle_sms_attempt',
        'sms_status', 'start_sms_run', 'try_sms_retry_queue'
        )
    loop
        execute format('revoke all on function %s from public, anon, authenticated', version);
        execute format('grant execute on function %s to service_role', version);
    end loop;
end
$$;

-- ======== PostgREST learns of the change at once ========
notify pgrst, 'reload schema';
