-- ======== drop smsretry.supersede ========
do $$
declare
    version regprocedure;
begin
    for version in
        select p.oid::regprocedure from pg_catalog.pg_proc p
        where p.pronamespace = 'smsretry'::regnamespace and p.proname = 'supersede'
    loop
        execute format('drop function %s', version);
    end loop;
end
$$;

-- ======== drop public.start_sms_run ========
do $$
declare
    version regprocedure;
begin
    for version in
        select p.oid::regprocedure from pg_catalog.pg_proc p
        where p.pronamespace = 'public'::regnamespace and p.proname = 'start_sms_run'
    loop
        -- Whom an owner lets call it: schemas/rights/public_functions.sql grants it to them again.
        perform set_config('smsretry.granted_start_sms_run', array_agg(distinct g.grantee::regrole)::text, false)
        from pg_catalog.pg_proc p cross join pg_catalog.aclexplode(p.proacl) g
        where p.oid = version and g.grantee not in (0, p.proowner)
          and g.grantee::regrole::text not in ('anon', 'authenticated', 'service_role')
        having count(*) > 0;
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
        -- Whom an owner lets call it: schemas/rights/public_functions.sql grants it to them again.
        perform set_config('smsretry.granted_begin_sms_attempt', array_agg(distinct g.grantee::regrole)::text, false)
        from pg_catalog.pg_proc p cross join pg_catalog.aclexplode(p.proacl) g
        where p.oid = version and g.grantee not in (0, p.proowner)
          and g.grantee::regrole::text not in ('anon', 'authenticated', 'service_role')
        having count(*) > 0;
        execute format('drop function %s', version);
    end loop;
end
$$;

-- ======== drop public.settle_sms_attempt ========
do $$
declare
    version regprocedure;
begin
    for version in
        select p.oid::regprocedure from pg_catalog.pg_proc p
        where p.pronamespace = 'public'::regnamespace and p.proname = 'settle_sms_attempt'
    loop
        -- Whom an owner lets call it: schemas/rights/public_functions.sql grants it to them again.
        perform set_config('smsretry.granted_settle_sms_attempt', array_agg(distinct g.grantee::regrole)::text, false)
        from pg_catalog.pg_proc p cross join pg_catalog.aclexplode(p.proacl) g
        where p.oid = version and g.grantee not in (0, p.proowner)
          and g.grantee::regrole::text not in ('anon', 'authenticated', 'service_role')
        having count(*) > 0;
        execute format('drop function %s', version);
    end loop;
end
$$;

-- ======== drop smsretry.rehearse_scheduled_send ========
do $$
declare
    version regprocedure;
begin
    for version in
        select p.oid::regprocedure from pg_catalog.pg_proc p
        where p.pronamespace = 'smsretry'::regnamespace and p.proname = 'rehearse_scheduled_send'
    loop
        execute format('drop function %s', version);
    end loop;
end
$$;

-- ======== drop smsretry.rehearse_text ========
do $$
declare
    version regprocedure;
begin
    for version in
        select p.oid::regprocedure from pg_catalog.pg_proc p
        where p.pronamespace = 'smsretry'::regnamespace and p.proname = 'rehearse_text'
    loop
        execute format('drop function %s', version);
    end loop;
end
$$;

-- ======== schemas/policy/fast_clock.sql ========
-- By how much an application's clock may be fast: an opt-in that is dated further in the future has not happened yet.
create or replace function smsretry.fast_clock()
returns interval language sql immutable set search_path = pg_catalog, pg_temp as $$ select interval '5 minutes' $$;

-- ======== schemas/policy/mark_look.sql ========
-- How often a text is looked at again that waits because the worker and the database's mark disagree.
create or replace function smsretry.mark_look()
returns interval language sql immutable set search_path = pg_catalog, pg_temp as $$ select interval '15 minutes' $$;

-- ======== schemas/tables/imported_files.sql ========
-- When each file of opt-outs was first imported (import_sms_opt_outs). Its lines without a date count as of then each time, so
-- that a second import of the same file undoes no opt-in that came after the first.
create table if not exists smsretry.imported_files (
    file_key bytea primary key,
    imported_at timestamptz not null,
    business_id uuid,
    who text not null,
    because text not null,
    constraint imported_files_lengths check (length(who) between 1 and 200 and length(because) between 1 and 500)
);
comment on column smsretry.imported_files.file_key is 'smsretry.number_key of the business, or of none, and the file''s SHA-256.';
comment on column smsretry.imported_files.business_id is 'Null: it was imported for all.';

-- Default privileges may be wide.
revoke all on smsretry.imported_files from public, anon, authenticated;
grant select, insert on smsretry.imported_files to service_role;

-- ======== schemas/tables/mark.sql ========
-- What this database is, if a person has said so: at most one row. Production names the only address at which workers may text
-- everybody, so that a copy of it texts nobody, however it was copied. smsretry.mark_mismatch has the rule.
create table if not exists smsretry.mark (
    one boolean primary key default true,
    kind text not null,
    address text,
    marked_at timestamptz not null,
    who text not null,
    because text not null,
    constraint mark_one check (one),
    constraint mark_kind check (kind in ('production', 'staging')),
    -- A production without an address would be one everywhere, its copies included.
    constraint mark_address check ((kind = 'production') = (address is not null) and length(address) between 1 and 300),
    constraint mark_lengths check (length(who) between 1 and 200 and length(because) between 1 and 500)
);
comment on column smsretry.mark.address is 'Host, port if it is not the usual one, and path, of the SUPABASE_URL that production''s workers have.';

-- Default privileges may be wide.
revoke all on smsretry.mark from public, anon, authenticated;
grant select, insert, update, delete on smsretry.mark to service_role;

-- ======== by hand: smsretry.runs ========
alter table smsretry.runs add column if not exists send_to text;
alter table smsretry.runs add column if not exists address text;
alter table smsretry.runs drop constraint if exists runs_send_to;
alter table smsretry.runs add constraint runs_send_to check (send_to in ('all', 'listed', 'nobody'));
alter table smsretry.runs drop constraint if exists runs_address;
alter table smsretry.runs add constraint runs_address check (length(address) <= 300);

-- ======== schemas/tables/runs.sql ========
-- One row a run of a worker: when it began, and what it came to. A run that was killed never says so itself; the next one
-- does, from the attempts that name it.
create table if not exists smsretry.runs (
    id uuid primary key,
    started_at timestamptz not null,
    finished_at timestamptz,
    told text,
    needs_somebody boolean,
    interrupted_at timestamptz,
    send_to text,
    address text,
    constraint runs_told check (length(told) <= 2000 and (finished_at is null) = (told is null)),
    constraint runs_send_to check (send_to in ('all', 'listed', 'nobody')),
    constraint runs_address check (length(address) <= 300)
);
comment on column smsretry.runs.id is 'In Prefect: the flow run of this id.';
comment on column smsretry.runs.told is 'What it came to, in numbers.';
comment on column smsretry.runs.interrupted_at is 'When a later run noticed that it had never finished.';
comment on column smsretry.runs.send_to is 'Whom its worker texts: all, listed or nobody. Null: its version does not say, and texts everybody.';
comment on column smsretry.runs.address is 'At which it reached the database.';

create index if not exists runs_started on smsretry.runs (started_at);
create index if not exists runs_unfinished on smsretry.runs (started_at) where finished_at is null and interrupted_at is null;

-- Default privileges may be wide.
revoke all on smsretry.runs from public, anon, authenticated;
grant select, insert, update on smsretry.runs to service_role;

-- ======== by hand: public.scheduled_sends ========
-- Nothing: the file itself makes its rules anew.

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
                'expired', 'not_listed', 'operator', 'application', 'superseded', 'quiet_hours', 'daily_cap',
                'no_time_zone', 'no_opening', 'hours_unreadable', 'state_stopped', 'mark_mismatch',
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

-- ======== by hand: public.sms_retry_queue ========
alter table public.sms_retry_queue drop constraint if exists sms_retry_queue_why_code;
alter table public.sms_retry_queue add constraint sms_retry_queue_why_code check (why_code in (
        'no_send_log', 'not_sms', 'no_customer', 'no_phone', 'number_invalid', 'no_body', 'body_too_long',
        'bad_row', 'id_taken', 'row_refused', 'opted_out', 'already_sent', 'expired', 'not_listed', 'operator',
        'application', 'superseded', 'quiet_hours', 'daily_cap', 'no_time_zone', 'no_opening',
        'hours_unreadable', 'state_stopped', 'mark_mismatch', 'customer_locked', 'database_trouble', 'data_changed',
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
    first_due_at timestamptz,

    constraint sms_retry_queue_status check (status in ('pending', 'processing', 'completed', 'failed', 'cancelled')),
    constraint sms_retry_queue_message_class check (message_class in ('marketing', 'transactional')),
    constraint sms_retry_queue_reason check (reason in ('quiet_hours', 'twilio_error', 'rate_limit')),
    -- smsretry/vocabulary.py says what each means.
    constraint sms_retry_queue_why_code check (why_code in (
        'no_send_log', 'not_sms', 'no_customer', 'no_phone', 'number_invalid', 'no_body', 'body_too_long',
        'bad_row', 'id_taken', 'row_refused', 'opted_out', 'already_sent', 'expired', 'not_listed', 'operator',
        'application', 'superseded', 'quiet_hours', 'daily_cap', 'no_time_zone', 'no_opening',
        'hours_unreadable', 'state_stopped', 'mark_mismatch', 'customer_locked', 'database_trouble', 'data_changed',
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
comment on column public.sms_retry_queue.first_due_at is 'For when it was queued. Null: by an older version, so that nobody knows how late it is.';
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

-- ======== schemas/helpers/instant_of.sql ========
-- An instant as JSON has it (RFC 3339), with its offset; null: it is none, or lies outside of smsretry.century.
create or replace function smsretry.instant_of(written text)
returns timestamptz language plpgsql immutable set search_path = pg_catalog, pg_temp as $$
begin
    if instant_of.written !~ '^\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d{1,9})?)?(Z|[+-]\d\d:\d\d)$' then
        return null;
    end if;
    return (select w.at from (select instant_of.written::timestamptz as at) w where w.at <@ smsretry.century());
exception when data_exception then
    return null;
end
$$;

-- ======== schemas/helpers/mark_mismatch.sql ========
-- Why a worker and the mark of the database disagree about whom to text, and what to do; null: they agree, or there is no mark.
-- send_to: whom the worker texts (all, listed, nobody); null: it is of a version that does not say, and texts everybody.
-- address: at which it reaches the database. plpgsql keeps its plan.
create or replace function smsretry.mark_mismatch(send_to text, address text)
returns text language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
    v_mark smsretry.mark;
    v_restricted constant boolean := coalesce(mark_mismatch.send_to <> 'all', false);
    v_home boolean;
begin
    select * into v_mark from smsretry.mark;
    v_home := v_mark.kind = 'production' and v_mark.address is not distinct from mark_mismatch.address;
    return case
        when v_mark.kind is null or v_home is distinct from v_restricted then null
        when v_home then 'The database is marked as production, and the worker texts '
            || case mark_mismatch.send_to when 'nobody' then 'nobody' else 'only who is listed' end
            || ': unset SMSRETRY_SEND_TO where it runs; or, if this is no production, `smsretry mark staging`'
        when v_mark.kind = 'staging' then 'The database is marked as staging, and the worker texts everybody: set SMSRETRY_SEND_TO'
            || ' to nobody or listed where it runs; or, if this is production, `smsretry mark production`'
        else 'The database is marked as production at ' || v_mark.address || ', and the worker reaches it '
            || coalesce('at ' || left(mark_mismatch.address, 300), 'by a version that does not say where')
            || '. A copy texts nobody: set SMSRETRY_SEND_TO to nobody or listed where the worker runs. If this is production: '
            || case when mark_mismatch.address is null then 'upgrade the worker'
                    else 'give all its workers one SUPABASE_URL, and run `smsretry mark production` with the same' end
    end;
end
$$;

-- ======== schemas/queue/before_insert.sql ========
-- A row is inserted: the claim of the application's own processor ends, a doubt about an earlier send of the text is kept,
-- and its age counts from now by the one clock. When it was first due is kept. An upsert comes here too, and inserts nothing
-- where its id is taken: then nothing else is changed. security definer, because a tenant may not update rows. If row level
-- security refuses the row, all of this is undone.
create or replace function smsretry.before_insert()
returns trigger language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    v_doubt record;
begin
    if new.status = 'pending' and not exists (select 1 from public.sms_retry_queue q where q.id = new.id) then
        new.created_at := smsretry.clock();
        perform smsretry.supersede(new.send_log_id, new.business_id, new.attempt_count);
        select * into v_doubt from smsretry.earlier_doubt(new.send_log_id, new.business_id);
        if v_doubt.attempt_id is not null then
            new.attempt_id := v_doubt.attempt_id;
            new.in_doubt_since := v_doubt.since;
            new.why := v_doubt.why;
            new.why_code := 'in_doubt';
        end if;
    end if;
    if new.reason = 'quiet_hours' and new.attempt_count >= new.max_attempts and new.max_attempts > 0 then
        new.attempt_count := new.max_attempts - 1; -- the send that may not go out now was no attempt: it is still owed
    end if;
    new.first_due_at := new.scheduled_for;
    new.last_error := left(new.last_error, smsretry.longest_reason());
    return new;
end
$$;

-- ======== schemas/queue/queue_sms_retry.sql ========
-- Queue a retry for a send log, or return the live row that it has. If an earlier row ended in doubt, the new one is in
-- doubt about that send (smsretry.before_insert).
--   result: queued | already_queued | already_sent | attempts_exhausted (the send log is then failed). Quiet hours cost no
--   attempt: with that reason the text is queued whatever attempt_count says, and has a send left (smsretry.before_insert).
-- Parameter names are the API, here and in all of public. The application may call it with send_log_id alone. Nulls mean the
-- default: due in one minute, marketing, of use for as long as the worker says. expires_in: a day has 24 hours.
-- scheduled_for wins over retry_in.
create or replace function public.queue_sms_retry(
    send_log_id uuid, reason text default null, attempt_count integer default 0, scheduled_for timestamptz default null,
    error text default null, retry_in interval default null, max_attempts integer default 3, expires_in interval default null,
    message_class text default null
)
returns table (retry_id uuid, result text, due_at timestamptz)
language plpgsql security invoker set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
declare
    v_now constant timestamptz := smsretry.clock();
    v_due constant timestamptz := coalesce(
        queue_sms_retry.scheduled_for, v_now + coalesce(queue_sms_retry.retry_in, interval '1 minute'));
    v_expires constant timestamptz := v_now
        + make_interval(secs => extract(epoch from queue_sms_retry.expires_in)::double precision);
    v_error constant text := left(queue_sms_retry.error, smsretry.longest_reason());
    v_class constant text := coalesce(queue_sms_retry.message_class, 'marketing');
    v_log public.send_logs;
begin
    select * into v_log from public.send_logs l where l.id = queue_sms_retry.send_log_id for update;
    perform smsretry.check_queueable(v_log, queue_sms_retry.send_log_id);
    if queue_sms_retry.attempt_count is null or queue_sms_retry.max_attempts is null then
        raise exception 'attempt_count and max_attempts must be numbers' using errcode = 'SR422';
    end if;
    if v_class not in ('marketing', 'transactional') then
        raise exception 'message_class must be marketing or transactional' using errcode = 'SR422';
    end if;
    if smsretry.is_sent(v_log.provider_message_id, v_log.status::text) then
        return query select null::uuid, 'already_sent', null::timestamptz;
        return;
    end if;
    perform smsretry.supersede(v_log.id, v_log.business_id, queue_sms_retry.attempt_count);
    for v_try in 1 .. 3 loop -- again only if somebody else inserts a row for the same text at this very moment
        return query
        select q.id, 'already_queued', q.scheduled_for
        from public.sms_retry_queue q
        where q.send_log_id = v_log.id and q.status in ('pending', 'processing');
        if found then
            return;
        end if;

        if queue_sms_retry.attempt_count >= queue_sms_retry.max_attempts
            and queue_sms_retry.reason is distinct from 'quiet_hours' then
            update public.send_logs l
            set status = 'failed', updated_at = v_now, error_message = coalesce(
                v_error, 'Gave up after ' || queue_sms_retry.attempt_count || ' attempts')
            where l.id = v_log.id;
            return query select null::uuid, 'attempts_exhausted', null::timestamptz;
            return;
        end if;

        return query
        insert into public.sms_retry_queue (
            business_id, send_log_id, customer_id, status, attempt_count, max_attempts,
            scheduled_for, reason, last_error, expires_at, message_class, created_at, updated_at)
        values (
            v_log.business_id, v_log.id, v_log.customer_id, 'pending', queue_sms_retry.attempt_count,
            queue_sms_retry.max_attempts, v_due, queue_sms_retry.reason, v_error, v_expires, v_class,
            v_now, v_now)
        on conflict (send_log_id) where status in ('pending', 'processing') do nothing
        returning id, 'queued', sms_retry_queue.scheduled_for;
        if found then
            return;
        end if;
    end loop;
    raise exception 'The row for send log % was not kept', v_log.id
        using errcode = 'SR409', hint = 'A trigger on sms_retry_queue swallows inserts: look at the triggers that are not smsretry''s.';
end
$$;

-- ======== schemas/queue/supersede.sql ========
-- The application's own processor queues the next try of a text that it has claimed: that claim ends, so that one live row
-- remains. The new row counts more attempts; otherwise it is the same text queued twice, and the claim stays. It stays, too,
-- if the new row is another business's, which may name any send log.
create or replace function smsretry.supersede(send_log_id uuid, business_id uuid, attempt_count integer)
returns void language sql set search_path = pg_catalog, pg_temp as $$
    update public.sms_retry_queue q
    set status = 'failed', last_error = coalesce(q.last_error, 'Its next try is another row'), why_code = 'superseded',
        claimed_at = null, claimed_by_application = false, held_since = null, updated_at = smsretry.clock()
    where q.send_log_id = supersede.send_log_id and q.business_id = supersede.business_id
      and q.status = 'processing' and q.claimed_by_application and q.attempt_count < supersede.attempt_count
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
                sent_account => v ->> 'sent_account', segments => (v ->> 'segments')::integer,
                send_to => v ->> 'send_to', listed => (v ->> 'listed')::boolean, address => v ->> 'address') b);
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
--     | held     the worker and the mark of the database disagree; it waits until reached_at (to a worker that gives no send_to: lost)
--     | ended    the row is finished; why and why_code say the reason
-- sender_id: of smsretry.senders; null: the environment's. sent_account and sent_by are what the request will name.
-- decided_at: the database's clock. phone and body are kept until the outcome is known. expires_at: when the text
-- is of no more use, if nothing has said so before; otherwise life: how long it is of use from now on.
-- send_to: whom the worker texts (all, listed, nobody); listed: whether this text is for one of those. address: at which it
-- reaches the database (smsretry.mark).
create or replace function public.begin_sms_attempt(
    retry_id uuid, claim_no bigint, attempt_id uuid, send_before timestamptz, quiet_hours_rule text,
    first_send boolean default false, cap integer default null, cap_since timestamptz default null,
    phone text default null, body text default null, sent_by text default null, decided_by text default null,
    life interval default null, run_id uuid default null, expires_at timestamptz default null,
    sender_id uuid default null, sent_account text default null, segments integer default null,
    send_to text default null, listed boolean default null, address text default null
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
    if send_to not in ('all', 'listed', 'nobody') then
        raise exception 'send_to must be all, listed or nobody' using errcode = 'SR422';
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
            select w.answer, w.why, w.why_code, w.reached_at into answer, why, why_code, reached_at
            from smsretry.withhold_send(
                v_row, send_to, listed, address, coalesce(expires_at, decided_at + life), decided_at) w;
        end if;
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

-- ======== schemas/worker/start_sms_run.sql ========
-- A run begins. Returns earlier runs that never finished, each once, with what their sends came to. stale_minutes: after how
-- long a silent run counts as interrupted; null: none. send_to, address: as for begin_sms_attempt. May be repeated, and then
-- returns none.
create or replace function public.start_sms_run(run_id uuid, stale_minutes integer default null, send_to text default null, address text default null)
returns table (id uuid, started_at timestamptz, accepted bigint, in_doubt bigint, refused bigint)
language plpgsql security invoker set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
declare
    v_now constant timestamptz := smsretry.clock();
begin
    insert into smsretry.runs (id, started_at, send_to, address)
    values (start_sms_run.run_id, v_now, start_sms_run.send_to, left(start_sms_run.address, 300)) on conflict do nothing;
    return query
    with silent as (
        update smsretry.runs r set interrupted_at = v_now
        where r.id = any (array(
            select u.id from smsretry.runs u
            where u.finished_at is null and u.interrupted_at is null
              and start_sms_run.stale_minutes is not null
              and u.started_at < v_now - make_interval(mins => greatest(start_sms_run.stale_minutes, 1))
            order by u.started_at limit 20 for update skip locked))
        returning r.id, r.started_at
    )
    select s.id, s.started_at,
           count(*) filter (where a.outcome = 'accepted'),
           count(*) filter (where a.id is not null and coalesce(a.outcome, 'in_doubt') = 'in_doubt'),
           count(*) filter (where a.outcome in ('rejected', 'not_sent'))
    from silent s
    left join public.sms_send_attempts a
        on a.run_id = s.id and a.begun_at between s.started_at and s.started_at + interval '1 day'
    group by s.id, s.started_at order by s.started_at;
end
$$;

-- ======== schemas/worker/withhold_send.sql ========
-- A send that nothing else keeps: may it leave from here? Parameters and answers: begin_sms_attempt. The last check, so that
-- a staging copy shows what would have gone out, and when.
--   go · ended: the worker texts only others, so the text is cancelled · held (lost for a version that knows no held): worker
--   and mark disagree, so the text waits until somebody has said which is right
create or replace function smsretry.withhold_send(
    retry public.sms_retry_queue, send_to text, listed boolean, address text, expires_at timestamptz, at timestamptz,
    out answer text, out why text, out why_code text, out reached_at timestamptz
)
language plpgsql set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_variable
begin
    if send_to = 'listed' and coalesce(listed, false) then -- a person named whom it may text, which is right everywhere
        answer := 'go';
        return;
    end if;
    why := smsretry.mark_mismatch(send_to, address);
    if why is not null then
        why_code := 'mark_mismatch';
        reached_at := at + smsretry.mark_look();
        retry.why := why;
        retry.why_code := why_code;
        retry.held_since := coalesce(retry.held_since, at);
        retry.expires_at := coalesce(retry.expires_at, expires_at);
        perform smsretry.put_back(retry, reached_at, at);
        answer := case when send_to is null then 'lost' else 'held' end;
        why := case when send_to is not null then why end; -- with a reason, lost would mean in doubt
    elsif coalesce(send_to, 'all') <> 'all' then
        why := 'Not sent: it would have gone out now, but '
            || case send_to when 'nobody' then 'nobody is texted from here (SMSRETRY_SEND_TO=nobody)'
                            else 'its number and its business are not listed (SMSRETRY_SEND_TO=listed)' end;
        why_code := 'not_listed';
        perform smsretry.close_row(retry, 'cancelled', why, why_code, null, at);
        answer := 'ended';
    else
        answer := 'go';
    end if;
end
$$;

-- ======== schemas/doubt/settle_sms_attempt.sql ========
-- For the application's webhook: the provider's status callback. It proves that the provider has the message of this attempt
-- (whose id is in the URL; null: found by its SID), and says how far it has come (delivery_status, error_code: Twilio's
-- MessageStatus and ErrorCode), in the account that signed it (account_sid; null: not told). An account speaks for what went out
-- from it and nothing else: who has an account of their own has the token that signs for it. May be called any number of times, in any order, before or after the sender's own answer. An
-- unknown status proves the message and is not kept.
-- Answers settled (the row is completed), recorded (the row had moved on, or the status is news), already_settled (no news),
-- or unknown_attempt (there is none, or it has another SID or account).
create or replace function public.settle_sms_attempt(
    attempt_id uuid default null, twilio_sid text default null, settled_by text default 'callback',
    delivery_status text default null, error_code integer default null, account_sid text default null
)
returns text language plpgsql security invoker set search_path = pg_catalog, pg_temp as $$
declare
    v_row public.sms_retry_queue;
    v_attempt public.sms_send_attempts;
    v_now timestamptz;
    v_answer text := 'already_settled';
begin
    if not smsretry.is_message_id(settle_sms_attempt.twilio_sid)
        or (settle_sms_attempt.settled_by in ('callback', 'operator')) is not true then
        raise exception 'twilio_sid must be the provider''s id of a message, settled_by callback or operator'
            using errcode = 'SR422';
    end if;
    if settle_sms_attempt.attempt_id is null then
        select * into v_attempt from public.sms_send_attempts a where a.twilio_sid = settle_sms_attempt.twilio_sid;
    else
        select * into v_attempt from public.sms_send_attempts a where a.id = settle_sms_attempt.attempt_id;
    end if;
    -- No fence: what the provider accepted is true, whoever has the row. The row is the attempt's own, or a newer one of its
    -- text that is in doubt about it.
    select * into v_row from public.sms_retry_queue q
    where q.id = coalesce(
        (select w.id from public.sms_retry_queue o join public.sms_retry_queue w on w.send_log_id = o.send_log_id
         where o.id = v_attempt.retry_id and w.status in ('pending', 'processing') and w.attempt_id = v_attempt.id),
        v_attempt.retry_id)
    for update;
    if not found then
        return 'unknown_attempt';
    end if;
    select * into v_attempt from public.sms_send_attempts a where a.id = v_attempt.id;
    v_now := smsretry.clock();
    if v_attempt.twilio_sid <> settle_sms_attempt.twilio_sid
        or lower(v_attempt.sent_account) <> lower(settle_sms_attempt.account_sid) then
        return 'unknown_attempt';
    end if;
    if v_attempt.twilio_sid is null then
        if smsretry.is_anothers(settle_sms_attempt.twilio_sid, v_attempt.id, v_row.send_log_id) then
            raise exception 'SID % belongs to another text', settle_sms_attempt.twilio_sid using errcode = 'SR422';
        end if;
        v_answer := smsretry.accept_attempt(v_row, v_attempt.id, settle_sms_attempt.twilio_sid, settle_sms_attempt.settled_by, v_now);
    end if;
    if smsretry.record_delivery(v_attempt.id, settle_sms_attempt.delivery_status, settle_sms_attempt.error_code, v_now)
        and v_answer = 'already_settled' then
        return 'recorded';
    end if;
    return v_answer;
end
$$;

-- ======== schemas/consent/import_at_business.sql ========
-- Record opt-outs that come from elsewhere at one business: smsretry.judge_opt_outs says what each means. A number whose row or
-- customers somebody holds locked, or may not be changed, keeps no other from opting out: unwritten_consents keeps it, so it
-- holds at once. All together wait for locks for one second.
--   lines: recorded, known, outlived and unreadable together are all · customers: marked now · cancelled: texts that waited
--   unmarked: customers who could not be marked · notes: of each line that is not recorded, the line and why
create or replace function smsretry.import_at_business(
    business_id uuid, opt_outs jsonb, as_of timestamptz, dry_run boolean, source text, who text, because text,
    out recorded integer, out known integer, out customers integer, out cancelled integer, out unmarked integer,
    out undated integer, out notes jsonb
)
language plpgsql set search_path = pg_catalog, pg_temp set lock_timeout = '1s' as $$
#variable_conflict use_variable
declare
    v_until constant timestamptz := clock_timestamp() + interval '1 second';
    v_said record;
    v_ended record;
    v_keys bytea[] := '{}';
    v_dates timestamptz[] := '{}';
begin
    recorded := 0; known := 0; customers := 0; cancelled := 0; unmarked := 0; undated := 0; notes := '[]';
    for v_said in select * from smsretry.judge_opt_outs(business_id, opt_outs, as_of) loop
        undated := undated + v_said.undated;
        if v_said.fate in ('unreadable', 'outlived') then
            notes := notes || jsonb_build_object(
                'line', v_said.line, 'what', v_said.fate, 'lines', v_said.lines, 'customer_id', v_said.customer_id,
                'business_id', case when v_said.fate = 'outlived' then business_id end);
            continue;
        end if;
        known := known + case when v_said.fate = 'known' then v_said.lines else v_said.lines - 1 end;
        continue when v_said.fate = 'known';
        recorded := recorded + 1;
        if dry_run then
            customers := customers + v_said.customers;
            cancelled := cancelled + v_said.texts;
        elsif v_said.fate = 'record' then
            v_keys := v_keys || v_said.number_key;
            v_dates := v_dates || v_said.at;
        else
            perform set_config('lock_timeout', greatest(
                ceil(extract(epoch from v_until - clock_timestamp()) * 1000), 1) || 'ms', true);
            begin
                perform smsretry.lock_customers(business_id, v_said.phone);
                v_said.customer_id := smsretry.later_opt_in(business_id, v_said.phone, v_said.number_key, v_said.at);
                if v_said.customer_id is not null then -- said yes since this call looked
                    recorded := recorded - 1;
                    notes := notes || jsonb_build_object(
                        'line', v_said.line, 'what', 'outlived', 'lines', 1, 'customer_id', v_said.customer_id,
                        'business_id', business_id);
                    continue;
                end if;
                select * into v_ended
                from smsretry.set_consent(business_id, null, v_said.phone, 'opted_out', source, v_said.at);
                customers := customers + v_ended.customers;
                cancelled := cancelled + v_ended.cancelled;
                perform smsretry.keep_consent_step(
                    business_id, v_said.phone, null, 'opted_out', smsretry.clock(), who, because);
            exception when others then
                raise warning 'Customers of business % could not be marked as opted out yet: %', business_id, sqlstate;
                perform smsretry.keep_unwritten(v_said.number_key, business_id, 'opted_out', v_said.at, source);
                unmarked := unmarked + v_said.customers;
            end;
        end if;
    end loop;
    begin
        -- As smsretry.suppress, for many: a block for each would cost a subtransaction each.
        insert into smsretry.suppressions as s (number_key, business_id, since, source)
        select k.number_key, business_id, k.since, source from unnest(v_keys, v_dates) k (number_key, since)
        on conflict (number_key) do update
        set since = greatest(s.since, excluded.since),
            source = case when smsretry.start_takes_back(s.source) or s.since < excluded.since then excluded.source else s.source end
        where s.since < excluded.since or smsretry.start_takes_back(s.source);
    exception when others then
        raise warning 'Opt-outs of business % could not be written where they belong yet: %', business_id, sqlstate;
        perform smsretry.keep_unwritten(k.number_key, business_id, 'opted_out', k.since, source)
        from unnest(v_keys, v_dates) k (number_key, since);
    end;
end
$$;

-- ======== schemas/consent/import_sms_opt_outs.sql ========
-- For people: opt-outs from another system, for one business or for each. opt_outs is an array of at most 500 objects: phone
-- (E.164), at (with its offset; without one it counts as now, and so does a date that has not come), line (to name it by).
-- A number needs no customer: one that comes later is opted out, too. A later opt-in stays. Changes nothing unless
-- dry_run => false; then who and because are needed. The same call again changes nothing more.
-- file_hash: the SHA-256 of the file they are from, which keeps what "now" is: smsretry.imported_files.
-- all_businesses: some a call, by id; the next call begins after_business => next_after, until that is null.
-- The rest: smsretry.import_at_business. time_zone: the business's.
create or replace function public.import_sms_opt_outs(
    opt_outs jsonb, business_id uuid default null, all_businesses boolean default false, dry_run boolean default true,
    who text default null, because text default null, file_hash text default null, after_business uuid default null
)
returns table (
    businesses integer, recorded integer, known integer, customers integer, cancelled integer, unmarked integer,
    undated integer, notes jsonb, next_after uuid, time_zone text
)
language plpgsql security invoker set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_variable
declare
    k_most constant integer := 500; -- each may take a lock, and the memory for locks is everybody's
    k_pairs constant integer := 2000; -- of numbers and businesses
    v_as_of timestamptz := smsretry.clock();
    v_key bytea;
    v_business record;
    v_done record;
begin
    if (dry_run is not null and all_businesses = (business_id is null) and jsonb_typeof(opt_outs) = 'array'
        and coalesce(file_hash ~ '^[0-9a-f]{64}$', true)) is not true then
        raise exception 'opt_outs must be an array, and for whom must be said in one way: business_id, or all_businesses'
            using errcode = 'SR422', hint = 'A file_hash is a SHA-256, in 64 small letters and digits. Nothing was recorded.';
    elsif jsonb_array_length(opt_outs) > k_most then
        raise exception 'opt_outs holds more than % lines: give them in several calls', k_most using errcode = 'SR422';
    end if;
    if not dry_run then
        perform smsretry.check_who_and_why(who, because);
    end if;
    if file_hash is not null then
        v_key := smsretry.number_key(coalesce(business_id, '00000000-0000-0000-0000-000000000000'), file_hash);
        if not dry_run then
            insert into smsretry.imported_files (file_key, imported_at, business_id, who, because)
            values (v_key, v_as_of, business_id, who, because) on conflict do nothing;
        end if;
        v_as_of := coalesce((select f.imported_at from smsretry.imported_files f where f.file_key = v_key), v_as_of);
    end if;
    businesses := 0; recorded := 0; known := 0; customers := 0; cancelled := 0; unmarked := 0; undated := 0; notes := '[]';
    for v_business in
        select b.id, b.timezone::text as zone from public.businesses b
        where (business_id is null or b.id = business_id) and (after_business is null or b.id > after_business)
        order by b.id limit greatest(1, k_pairs / greatest(1, jsonb_array_length(opt_outs)))
    loop
        select * into v_done from smsretry.import_at_business(
            v_business.id, opt_outs, v_as_of, dry_run,
            'import_' || to_char(v_as_of at time zone 'UTC', 'YYYY-MM-DD'), -- a word, which explain_sms shows
            who, because);
        businesses := businesses + 1;
        recorded := recorded + v_done.recorded;
        known := known + v_done.known;
        customers := customers + v_done.customers;
        cancelled := cancelled + v_done.cancelled;
        unmarked := unmarked + v_done.unmarked;
        undated := greatest(undated, v_done.undated);
        notes := notes || v_done.notes;
        next_after := v_business.id;
        time_zone := case when business_id is not null then v_business.zone end;
    end loop;
    if business_id is not null and businesses = 0 then
        raise exception 'No business has this id' using errcode = 'SR404', hint = 'Check it against businesses.id. Nothing was recorded.';
    elsif business_id is not null or not exists (select 1 from public.businesses b where b.id > next_after) then
        next_after := null;
    end if;
    return next;
end
$$;

-- ======== schemas/consent/judge_opt_outs.sql ========
-- What opt-outs that come from elsewhere (import_sms_opt_outs) mean at one business, a line for each number:
--   unreadable: it is no number in E.164
--   known: an opt-out that is no earlier, and no easier to take back, holds already
--   outlived: customer_id opted in later, so nothing changes
--   mark: customers of the business have the number · record: none has
-- at: the latest that the number's lines say. Without a date, or with one that has not come, an opt-out is of as_of.
-- texts: that wait for its customers.
create or replace function smsretry.judge_opt_outs(business_id uuid, opt_outs jsonb, as_of timestamptz)
returns table (
    line bigint, phone text, at timestamptz, number_key bytea, fate text, customer_id uuid, customers integer, texts integer,
    undated integer, lines integer
)
language plpgsql stable set search_path = pg_catalog, pg_temp
-- A generic plan would read all customers.
set plan_cache_mode = force_custom_plan as $$
#variable_conflict use_column
begin
    return query
    with written as (
        select case when jsonb_typeof(e.value -> 'line') = 'number' and length(e.value ->> 'line') <= 15
                    then trunc((e.value ->> 'line')::numeric)::bigint else e.place end as line,
               case when e.value ->> 'phone' ~ '^[+][1-9][0-9]{6,14}$' then e.value ->> 'phone' end as phone,
               smsretry.instant_of(e.value ->> 'at') as at
        from jsonb_array_elements(judge_opt_outs.opt_outs) with ordinality e (value, place)
    ), dated as (
        select w.line, w.phone, case when w.at <= judge_opt_outs.as_of then w.at end as at from written w
    ), numbers as materialized ( -- each function once
        select min(d.line) as line, d.phone,
               case when bool_or(d.at is null) then judge_opt_outs.as_of else max(d.at) end as at,
               bool_or(d.at is null) as undated, count(*) filter (where d.at is null)::integer as undated_lines,
               count(*)::integer as lines,
               smsretry.number_key(judge_opt_outs.business_id, d.phone) as number_key
        from dated d where d.phone is not null group by d.phone
    ), found as materialized (
        select n.*, c.customers, c.consenting,
               (select max(o.since)
                from (select s.since, s.source from smsretry.suppressions s where s.number_key = n.number_key
                      union all
                      select u.since, u.source from smsretry.unwritten_consents u
                      where u.number_key = n.number_key and u.consent = 'opted_out') o
                where not smsretry.start_takes_back(o.source)) as opted_out_since
        from numbers n
        cross join lateral (
            select count(*)::integer as customers,
                   count(*) filter (where c.sms_consent_status::text is distinct from 'opted_out')::integer as consenting
            from public.customers c
            -- is true: by the number alone, and not also by the index of business_id, where a business may have very many
            where c.phone = n.phone and (c.business_id = judge_opt_outs.business_id) is true) c
    ), judged as materialized (
        select f.*,
               f.consenting = 0 and f.opted_out_since is not null and (f.undated or f.opted_out_since >= f.at) as known,
               case when f.consenting > 0
                    then smsretry.later_opt_in(judge_opt_outs.business_id, f.phone, f.number_key, f.at) end as opted_in
        from found f
    )
    select j.line, j.phone, j.at, j.number_key,
           case when j.known then 'known' when j.opted_in is not null then 'outlived'
                when j.customers > 0 then 'mark' else 'record' end,
           j.opted_in, j.customers,
           case when j.known or j.opted_in is not null or j.customers = 0 then 0 else (
               select count(*)::integer
               from public.customers c join public.sms_retry_queue q on q.customer_id = c.id
               where c.phone = j.phone and (c.business_id = judge_opt_outs.business_id) is true
                 and q.status = 'pending' and q.in_doubt_since is null) end,
           j.undated_lines, j.lines
    from judged j
    union all
    select d.line, null, null, null, 'unreadable', null, 0, 0, 0, 1 from dated d where d.phone is null
    order by 4, 1; -- two imports lock numbers in the same order
end
$$;

-- ======== schemas/consent/keep_consent_step.sql ========
-- Keep who recorded a consent and why, with the texts of those whom it is about: customers with the number at the business (null:
-- at each), and one customer by id. Those that were sent keep their story as it is.
create or replace function smsretry.keep_consent_step(
    business_id uuid, phone text, customer_id uuid, consent text, at timestamptz, who text, because text
)
returns void language sql set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_custom_plan as $$
    insert into smsretry.steps (retry_id, taken_at, step, who, because)
    select q.id, keep_consent_step.at, replace(keep_consent_step.consent, '_', ' '), keep_consent_step.who, keep_consent_step.because
    from public.sms_retry_queue q
    where q.status <> 'completed'
      and q.customer_id in (select c.id from public.customers c
                            where (c.phone = keep_consent_step.phone or c.id = keep_consent_step.customer_id)
                              and (keep_consent_step.business_id is null or c.business_id = keep_consent_step.business_id))
    -- A worker's lock keeps nobody's word from being recorded.
    order by q.updated_at desc limit 100 for key share skip locked
$$;

-- ======== schemas/consent/keep_suppression.sql ========
-- An opt-out belongs to a number at a business and outlives the customer's row. Only a later opt-in (sms_consent_at) lifts
-- it: not a row that is imported later, is saved unchanged, or only receives the number. A START (inbound_start) lifts what
-- a START may. Later means written later and dated later. A future date lifts nothing, even after it has come
-- (stale_opt_ins). The same holds for the consent that an opt-out ends, in case a clock was set back.
-- security definer, because tenants may write customers and not suppressions. It never refuses their write.
create or replace function smsretry.keep_suppression()
returns trigger language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    v_now timestamptz;
    v_key bytea;
    v_since timestamptz;
    v_changed boolean;
    v_moved boolean;
    v_anew boolean;
    v_second timestamptz;
begin
    -- Not in the declarations: the exception handler does not cover those.
    v_now := smsretry.clock();
    v_since := coalesce(new.sms_consent_at, v_now);
    v_changed := tg_op = 'UPDATE' and old.sms_consent_status is distinct from new.sms_consent_status;
    v_moved := tg_op = 'UPDATE' and (old.business_id, old.phone) is distinct from (new.business_id, new.phone);
    -- Only the status changed: the time is that of the consent that ends here.
    if v_changed and old.sms_consent_at is not distinct from new.sms_consent_at then
        v_since := v_now;
    end if;
    -- The same write may opt out and remove the number from the row.
    if v_changed and v_moved and new.sms_consent_status::text = 'opted_out' and old.phone is not null then
        perform smsretry.suppress(
            old.business_id, smsretry.number_key(old.business_id, old.phone), v_since, new.sms_consent_source::text);
    end if;
    if new.phone is null then
        return new;
    end if;
    v_key := smsretry.number_key(new.business_id, new.phone);
    if v_moved and old.phone is not null then -- the row's earlier dates are no news for its new number either
        perform smsretry.keep_stale(v_key, o.at)
        from smsretry.stale_opt_ins o where o.number_key = smsretry.number_key(old.business_id, old.phone);
    end if;
    -- An application that saves whole rows may cut off microseconds, and so write an earlier time.
    v_anew := tg_op = 'INSERT' or v_changed
        or coalesce(new.sms_consent_at > coalesce(old.sms_consent_at, '-infinity'), false);
    if new.sms_consent_status::text = 'opted_out' then
        if v_anew or v_moved
            or (old.sms_consent_source is distinct from new.sms_consent_source
                and smsretry.suppressed_since(v_key) is not null) then
            perform smsretry.suppress(new.business_id, v_key, v_since, new.sms_consent_source::text);
        end if;
        if v_changed and old.sms_consent_status::text = 'opted_in' and old.sms_consent_at >= v_since then
            perform smsretry.keep_stale(v_key, old.sms_consent_at);
        end if;
    elsif new.sms_consent_status::text = 'opted_in' and new.sms_consent_at is not null then
        -- Applications cut off or round to milliseconds or seconds.
        v_second := date_trunc('second', new.sms_consent_at);
        v_anew := v_anew and new.sms_consent_at <= v_now + smsretry.fast_clock() and not exists (
            select 1 from smsretry.stale_opt_ins o
            where o.number_key = v_key and o.at in (v_second, v_second - interval '1 second'));
        if v_anew then
            perform smsretry.lift(
                v_key, least(new.sms_consent_at, v_now), new.sms_consent_source::text is not distinct from 'inbound_start');
        end if;
        if new.sms_consent_at > v_now or v_moved and not v_anew and smsretry.suppressed_since(v_key) < new.sms_consent_at then
            perform smsretry.keep_stale(v_key, new.sms_consent_at);
        end if;
    end if;
    if v_changed and new.sms_consent_status::text = 'opted_out' and smsretry.start_takes_back(new.sms_consent_source::text) then
        insert into smsretry.stopped_consents (customer_id, number_key, consent)
        values (new.id, v_key, old.sms_consent_status::text) -- for a later START
        on conflict (customer_id) do update set number_key = excluded.number_key, consent = excluded.consent;
    elsif v_changed then
        delete from smsretry.stopped_consents t where t.customer_id = new.id;
    end if;
    return new;
exception when others then
    raise warning 'The consent of customer % could not be kept for its number: %', new.id, sqlstate;
    return new;
end
$$;

-- ======== schemas/consent/later_opt_in.sql ========
-- Who said yes to texts to a number at a business after a moment: the newest opt-in that an opt-out of that moment does not
-- undo. As in smsretry.keep_suppression it has a date, which is not in the future nor stale. It was given for this number: an
-- opt-in from before the row received the number was for another. If its last four digits stayed, it was only written anew.
create or replace function smsretry.later_opt_in(business_id uuid, phone text, number_key bytea, after timestamptz)
returns uuid language plpgsql stable set search_path = pg_catalog, pg_temp as $$
begin
    return (
        select c.id from public.customers c
        where c.phone = later_opt_in.phone and (c.business_id = later_opt_in.business_id) is true -- by the number's index alone
          and c.sms_consent_status::text = 'opted_in'
          and c.sms_consent_at > later_opt_in.after and c.sms_consent_at <= smsretry.clock() + smsretry.fast_clock()
          and not exists (
              select 1 from smsretry.stale_opt_ins o
              where o.number_key = later_opt_in.number_key
                and o.at in (date_trunc('second', c.sms_consent_at), date_trunc('second', c.sms_consent_at) - interval '1 second'))
          and not exists (
              select 1 from smsretry.customer_changes x
              where x.customer_id = c.id and x.what = 'number' and x.at > c.sms_consent_at and x.was is distinct from x.became)
        order by c.sms_consent_at desc limit 1);
end
$$;

-- ======== schemas/consent/lock_customers.sql ========
-- Lock a number at a business, then in order of id its customers who have that number, and one customer by id, whose number
-- may have changed. The order keeps two opt-outs of the same people from deadlocking.
create or replace function smsretry.lock_customers(business_id uuid, phone text, customer_id uuid default null)
returns uuid[] language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    perform smsretry.lock_number(lock_customers.business_id, lock_customers.phone);
    return array(
        select c.id from public.customers c
        where (c.phone = lock_customers.phone or c.id = lock_customers.customer_id)
          -- is true: not also by the index of business_id, where a business may have very many
          and (c.business_id = lock_customers.business_id) is true
        order by c.id for no key update);
end
$$;

-- ======== schemas/consent/means_stop.sql ========
-- Whether an incoming text says stop. "Any reasonable means" revokes consent (47 CFR 64.1200(a)(10)). When in doubt, opt out.
--   keyword: nothing but words of stop, whatever case, accents, punctuation and emoji ("stop, cancel!", "stoppp")
--   words: it may mean stop: a keyword beside courtesies, or a phrase of smsretry.words_of_stop anywhere
--   null: neither, such as "cancel" in another sentence, "stop by at 5?" and "don't stop, I love these"
-- A phone's reaction to our text ("Liked “…Reply STOP to opt out”") quotes us and says nothing.
create or replace function smsretry.means_stop(body text)
returns text language plpgsql immutable set search_path = pg_catalog, pg_temp as $$
declare
    v_reaction constant text := '^[^a-z]*(loved|liked|disliked|laughed at|emphasi[sz]ed|questioned|reacted [^ ]{1,12} to|removed an? .{1,30} from|(no )?le (gust|encant)[^ ]+|se ri[^ ]+ de|(n’)?a (pas )?(aim|ador)[^ ]+|[^a-z]{1,12} to) ["“„«].*["”“»][^a-z]*$';
    v_list record;
    v_plain text;
    v_words text[];
    v_pattern text;
    v_means text;
begin
    if lower(left(means_stop.body, smsretry.longest_body()) collate "C") ~ v_reaction then
        return null;
    end if;
    select array_agg(replace(x.word, ' ', '')) filter (where w.kind = 'keyword') as keywords,
           array_agg(x.word) filter (where w.kind = 'courtesy') as courtesies,
           array_agg(x.word) filter (where w.kind = 'even_so') as even_so,
           array_agg(x.word) filter (where w.kind = 'not_this') as not_this,
           array_agg(x.word) filter (where w.kind = 'words') as words into v_list
    from smsretry.words_of_stop() w cross join unnest(w.words) x (word);
    for v_plain in
        select distinct p.plain
        from (values (smsretry.plain_words(means_stop.body)), (smsretry.plain_words(means_stop.body, ' ')),
                     (smsretry.plain_words(replace(means_stop.body, '🛑', ' ')))) p (plain) -- it may stand beside a word
        where p.plain <> ''
    loop
        v_words := string_to_array(v_plain, ' ');
        if v_words <@ v_list.keywords or replace(v_plain, ' ', '') = any (v_list.keywords)
            or length(v_plain) <= 60 and regexp_replace(replace(v_plain, ' ', ''), '(.)\1+', '\1', 'g') in (
                select regexp_replace(k.word, '(.)\1+', '\1', 'g') from unnest(v_list.keywords) k (word)) then
            return 'keyword';
        end if;
        if v_words <@ (v_list.keywords || v_list.courtesies) and v_words && v_list.keywords
            or v_plain collate "C" ~ any (v_list.even_so) then
            v_means := 'words';
        end if;
        foreach v_pattern in array v_list.not_this loop
            v_plain := regexp_replace(v_plain collate "C", v_pattern, '-', 'g');
        end loop;
        if v_plain collate "C" ~ any (v_list.words) then
            v_means := 'words';
        end if;
    end loop;
    return v_means;
end
$$;

-- ======== schemas/consent/record_sms_consent.sql ========
-- For people: a customer says stop or yes by telephone or letter. Named by number, an opt-out without a business is from all
-- of them, and consent is given to one. Named by customer_id, it is for that customer's number at their business; who and
-- because are then needed, and are kept with the customer's texts that wait or ended unsent. Either one also closes the
-- number's texts that may mean stop and wait for a person.
--   customers: concerned · cancelled: texts that waited
--   unmarked: customers whose rows are locked; the opt-out holds for them too, and the same call again marks them
create or replace function public.record_sms_consent(
    phone text, consent text, source text, business_id uuid default null, customer_id uuid default null,
    who text default null, because text default null
)
returns table (customers integer, cancelled integer, unmarked integer)
language plpgsql security invoker set search_path = pg_catalog, pg_temp as $$
declare
    v_now constant timestamptz := smsretry.clock();
    v_phone text := record_sms_consent.phone;
    v_business uuid := record_sms_consent.business_id;
    v_seen integer;
begin
    if (record_sms_consent.consent in ('opted_in', 'opted_out')) is not true
        or num_nonnulls(record_sms_consent.phone, record_sms_consent.customer_id) <> 1
        or coalesce(record_sms_consent.phone !~ '^[+][1-9][0-9]{6,14}$', false)
        or coalesce(btrim(record_sms_consent.source), '') = '' then
        raise exception 'phone must be E.164, consent opted_in or opted_out, and source must say how it is known'
            using errcode = 'SR422', hint = 'A customer_id may take the place of phone.';
    end if;
    if num_nonnulls(record_sms_consent.customer_id, record_sms_consent.who, record_sms_consent.because) > 0 then
        perform smsretry.check_who_and_why(record_sms_consent.who, record_sms_consent.because);
    end if;
    if record_sms_consent.customer_id is not null then
        select c.phone, c.business_id into v_phone, v_business
        from public.customers c where c.id = record_sms_consent.customer_id;
        if not found or v_business is distinct from coalesce(record_sms_consent.business_id, v_business) then
            raise exception 'No customer has this id' using errcode = 'SR404',
                hint = 'Check it against customers.id, and business_id against the customer''s. Nothing was recorded.';
        end if;
        -- '' or 'n/a' is no number, and those who share it are not one person.
        v_phone := case when v_phone ~ '^[+][1-9][0-9]{6,14}$' then v_phone end;
    end if;
    if record_sms_consent.consent = 'opted_in' and v_business is null then
        raise exception 'business_id is missing: consent is given to one business' using errcode = 'SR422';
    end if;
    if record_sms_consent.consent = 'opted_out' and v_phone is not null then
        select s.customers, s.cancelled, s.unmarked into customers, cancelled, unmarked
        from smsretry.opt_out(v_phone, record_sms_consent.source, v_now, v_business) s;
    else -- a customer without a number has none that could be known at other customers
        select s.customers, s.cancelled, 0 into customers, cancelled, unmarked
        from smsretry.set_consent(
            v_business, record_sms_consent.customer_id, v_phone, record_sms_consent.consent, record_sms_consent.source,
            v_now) s;
    end if;
    v_seen := smsretry.mark_words_read(
        (select smsretry.number_key('00000000-0000-0000-0000-000000000000', v_phone) from smsretry.secret), v_now);
    if customers + unmarked + v_seen = 0 then
        raise exception 'No customer has this number' using errcode = 'SR404',
            hint = 'Check it against customers.phone, where numbers are stored as E.164. Nothing was recorded.';
    end if;
    if record_sms_consent.who is not null then
        perform smsretry.keep_consent_step(
            v_business, v_phone, record_sms_consent.customer_id, record_sms_consent.consent, v_now, record_sms_consent.who,
            record_sms_consent.because);
    end if;
    return next;
end
$$;

-- ======== schemas/consent/set_consent.sql ========
-- Set or end consent for everyone at a business who has this number, and for one customer by id, whose number may have
-- changed. An opt-out cancels their waiting texts; a text that is in doubt, under way or locked meets it at its next begin.
-- A repeated opt-out keeps the first record, unless only the first could be lifted by a START.
-- Returns how many customers it concerns and how many texts it cancelled.
create or replace function smsretry.set_consent(
    business_id uuid, customer_id uuid, phone text, consent text, source text, at timestamptz,
    out customers integer, out cancelled integer
)
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    -- Null without the key of the hashes. Then no text goes out, and the rows become suppressions once there is a key.
    v_key constant bytea := (select smsretry.number_key(set_consent.business_id, set_consent.phone) from smsretry.secret);
    v_ids constant uuid[] := smsretry.lock_customers(set_consent.business_id, set_consent.phone, set_consent.customer_id);
    v_said record;
    v_waiting public.sms_retry_queue;
begin
    customers := cardinality(v_ids);
    cancelled := 0;
    if set_consent.consent = 'opted_in' then
        -- A person's word also outweighs opt-outs dated in the future.
        perform smsretry.take_unwritten(v_key, set_consent.at);
        update public.customers c
        set sms_consent_status = 'opted_in', sms_consent_at = set_consent.at, sms_consent_source = set_consent.source
        where c.id = any (v_ids);
        perform smsretry.lift(v_key, set_consent.at, false, smsretry.clock());
        return;
    end if;

    for v_said in -- this, and before it what could not be written when it was heard
        select t.since, t.source from smsretry.take_unwritten(v_key, set_consent.at) t
        union all
        select set_consent.at, set_consent.source
        order by 1
    loop
        update public.customers c
        set sms_consent_status = 'opted_out', sms_consent_at = v_said.since, sms_consent_source = v_said.source
        where c.id = any (v_ids)
          and (c.sms_consent_status is distinct from 'opted_out'
               or (smsretry.start_takes_back(c.sms_consent_source::text) and not smsretry.start_takes_back(v_said.source)));
        -- The trigger on customers records a changed row. No row has changed if all were opted out already, have another
        -- number by now, or are gone.
        if v_key is not null and not exists ( -- an opt-out that is no earlier, and no easier for a START to take back
            select 1
            from (select s.since, s.source from smsretry.suppressions s where s.number_key = v_key
                  union all
                  select u.since, u.source from smsretry.unwritten_consents u
                  where u.number_key = v_key and u.consent = 'opted_out') o
            where o.since >= v_said.since
              and (smsretry.start_takes_back(v_said.source) or not smsretry.start_takes_back(o.source))) then
            perform smsretry.suppress(set_consent.business_id, v_key, v_said.since, v_said.source);
        end if;
    end loop;
    begin
        for v_waiting in
            select q.* from public.sms_retry_queue q
            where q.customer_id = any (v_ids) and q.status = 'pending' and q.in_doubt_since is null
            order by q.id for update
        loop
            perform smsretry.close_row(v_waiting, 'cancelled', 'Customer opted out', 'opted_out', null, smsretry.clock());
            cancelled := cancelled + 1;
        end loop;
    exception when lock_not_available or deadlock_detected then
        cancelled := 0; -- none of them
    end;
end
$$;

-- ======== schemas/scheduled/scheduled_send_changed.sql ========
-- A scheduled send is updated. While it waits, anything may change. Once queued, moving or cancelling it does the same to
-- its text. Where that is too late, or something else is to change, the row stays as it is and is not among the rows of the
-- answer; the others of the statement are changed (smsretry.scheduled_sends_asked). It is no longer kept in held_sends.
-- security definer, because an owner may change its scheduled sends and not the queue.
create or replace function smsretry.scheduled_send_changed()
returns trigger language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    v_now constant timestamptz := smsretry.clock();
    v_text public.sms_retry_queue;
    v_note constant text := 'smsretry.scheduled_' || pg_trigger_depth();
    v_refusal text;
begin
    delete from smsretry.held_sends h where h.scheduled_id = old.id;
    new.updated_at := v_now;
    if new.status = 'cancelled' and old.status <> 'cancelled' then
        new.held_since := null;
        new.why := case when new.why is distinct from old.why then new.why end;
        new.why_code := case when new.why_code is distinct from old.why_code then new.why_code else 'application' end;
        new.why := left(coalesce(new.why, 'Cancelled by the application'), smsretry.longest_reason());
    end if;
    if old.status <> 'queued' then
        if new.status = 'scheduled' and old.status <> 'scheduled' then
            new.why := null; -- wanted after all
            new.why_code := null;
        end if;
        if (new.body, new.customer_id, new.scheduled_for, new.not_after)
            is distinct from (old.body, old.customer_id, old.scheduled_for, old.not_after) then
            new.look_at := null; -- looked at anew
        end if;
    elsif (new.status, new.scheduled_for, new.not_after, new.body, new.business_id, new.customer_id, new.message_class, new.send_log_id)
        is distinct from
       (old.status, old.scheduled_for, old.not_after, old.body, old.business_id, old.customer_id, old.message_class, old.send_log_id) then
        select q.* into v_text from public.sms_retry_queue q
        where q.send_log_id = old.send_log_id and q.business_id = old.business_id and q.status in ('pending', 'processing')
        for update;
        v_refusal := smsretry.too_late(old, new, v_text);
        if v_refusal is not null then
            if coalesce(current_setting(v_note, true), '') = '' then
                perform set_config(v_note, v_refusal, true);
            end if;
            return null;
        end if;
        if new.status = 'cancelled' then
            perform smsretry.close_row(v_text, 'cancelled', new.why, new.why_code, null, v_now);
        else
            v_text.expires_at := new.not_after;
            v_text.held_since := null;
            v_text.why := null;
            v_text.why_code := null;
            v_text.reason := null;
            perform smsretry.put_back(v_text, new.scheduled_for, v_now);
        end if;
    end if;
    perform set_config(v_note, 'changed', true);
    return new;
end
$$;

-- ======== schemas/scheduled/scheduled_sends_asked.sql ========
-- Scheduled sends are updated by one statement, perhaps an upsert, which inserts some of them. One row that cannot be changed
-- is no reason to leave the others: the answer's rows are those that were. If none was, the first refusal is raised
-- (SR409), so that nobody takes a text for cancelled that goes out. A setting notes what came of the rows so far: nothing
-- yet, a refusal, or 'changed', which stays. Each statement has its own, also one of a trigger within another.
create or replace function smsretry.scheduled_sends_asked()
returns trigger language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    v_setting constant text := 'smsretry.scheduled_' || pg_trigger_depth();
    v_note text;
begin
    if tg_level = 'ROW' then -- inserted
        perform set_config(v_setting, 'changed', true);
    elsif tg_when = 'BEFORE' then
        perform set_config(v_setting, '', true);
    else
        v_note := coalesce(current_setting(v_setting, true), '');
        if v_note not in ('', 'changed') then
            raise exception '%', split_part(v_note, E'\n', 1) using errcode = 'SR409', hint = split_part(v_note, E'\n', 2);
        end if;
    end if;
    return null;
end
$$;

-- ======== schemas/scheduled/too_late.sql ========
-- Why a scheduled send that is queued cannot be changed in this way any more, and in a second line what to do; null: it can.
-- live: its text's live row, if there is one.
create or replace function smsretry.too_late(
    was public.scheduled_sends, wanted public.scheduled_sends, live public.sms_retry_queue
)
returns text language sql stable set search_path = pg_catalog, pg_temp as $$
    select case
        when wanted.status not in ('queued', 'cancelled')
            or (wanted.body, wanted.business_id, wanted.customer_id, wanted.message_class, wanted.send_log_id)
                is distinct from (was.body, was.business_id, was.customer_id, was.message_class, was.send_log_id)
        then format(E'Scheduled send %s is queued: it can be moved or cancelled, and nothing else\n', was.id)
            || 'Cancel it and schedule another.'
        when live.id is null or live.status <> 'pending' or live.in_doubt_since is not null
        then format(E'It is too late to change scheduled send %s: its text %s\n', was.id, case
                when live.id is null then 'has ended'
                when live.in_doubt_since is not null then 'may have gone out, and evidence is looked for'
                else 'is with a worker at this moment' end)
            || 'explain_sms tells what became of it, by its send log.'
    end
$$;

-- ======== schemas/desk/mark_sms_database.sql ========
-- Say what this database is: production (address: of the SUPABASE_URL that its workers have, the host, the port if it is not
-- the usual one, and the path), staging, or, with kind null, nothing. who, because: of the person. Returns whether it is marked.
-- May be repeated. Texts that waited because of the mark are looked at again within smsretry.mark_look.
create or replace function public.mark_sms_database(kind text, who text, because text, address text default null)
returns boolean language plpgsql security invoker set search_path = pg_catalog, pg_temp as $$
begin
    perform smsretry.check_who_and_why(mark_sms_database.who, mark_sms_database.because);
    if mark_sms_database.kind is not null and (mark_sms_database.kind in ('production', 'staging')) is not true then
        raise exception 'kind must be production, staging or null' using errcode = 'SR422';
    end if;
    if (coalesce(mark_sms_database.kind, '') = 'production') is distinct from (coalesce(btrim(mark_sms_database.address), '') <> '') then
        raise exception 'production needs the address of its workers'' SUPABASE_URL, and nothing else has one' using errcode = 'SR422';
    end if;
    if mark_sms_database.kind is null then
        delete from smsretry.mark;
        return false;
    end if;
    insert into smsretry.mark (kind, address, marked_at, who, because)
    values (mark_sms_database.kind, lower(btrim(mark_sms_database.address)), smsretry.clock(), mark_sms_database.who, mark_sms_database.because)
    on conflict (one) do update
        set kind = excluded.kind, address = excluded.address, marked_at = excluded.marked_at, who = excluded.who, because = excluded.because;
    return true;
end
$$;

-- ======== schemas/desk/sms_status.sql ========
-- For a person: what is in the queue, what went out and ended lately, what is stopped, and the last runs, by part:
--   clock (oldest: the database's clock; next_at: what was due before is late; texts: smsretry.fewest_texts)
--   scheduled (name: waiting, held or late; told: the id of one held) · queue (name: a state) · waiting (name: category)
--   held (name: reason, a line a business) · sent (by outcome, last hour)
--   delivery, delivery_lately (last day, last hour; name: delivered, undelivered, unknown or open) · delivery_hour (oldest:
--   its start) · delivery_business (last day; the ten businesses with the smallest share delivered; told: its name)
--   delivery_time (name: median or 95th percentile; told: seconds from accepted to delivered; texts: of how many)
--   undelivered (last day; name: the provider's code, a line a business) · ended (last day; failed or cancelled, by error)
--   inbound (only with_words: people whose text may mean stop, unread; told: the oldest one's SID) · stopped · run
--   mark, runner (only with_senders: smsretry.status_of_mark)
--   senders, sender (only with_senders: the businesses' own; smsretry.status_of_senders)
-- oldest and next_at: of a queue's line, the earliest due time and the next; of others, when it began.
create or replace function public.sms_status(with_words boolean default false, with_senders boolean default false)
returns table (part text, name text, business_id uuid, texts bigint, oldest timestamptz, next_at timestamptz, told text, why_code text)
language plpgsql stable security invoker set search_path = pg_catalog, pg_temp as $$
declare
    v_now constant timestamptz := smsretry.clock();
begin
    return query
    (select 'clock', '', null::uuid, smsretry.fewest_texts()::bigint, v_now, v_now - smsretry.late_after(), null::text, null::text)
    union all
    select * from smsretry.status_of_waiting(v_now)
    union all
    select s.*, null::text from smsretry.status_of_sends(v_now) s
    union all
    select l.*, null::text from smsretry.status_of_lost(v_now) l
    union all
    (select 'ended', e.status, null::uuid, count(*), min(e.updated_at), null::timestamptz,
            smsretry.numberless(left(e.last_error, 200)), e.why_code
     from public.sms_retry_queue e
     where e.status in ('completed', 'failed', 'cancelled') and e.status <> 'completed' and e.updated_at > v_now - interval '1 day'
     group by e.status, left(e.last_error, 200), e.why_code order by e.status desc, count(*) desc limit 50)
    union all
    (select 'inbound', 'words', null::uuid, count(distinct t.number_key), min(t.heard_at), null::timestamptz,
            (array_agg(t.twilio_sid order by t.heard_at))[1], null::text
     from smsretry.inbound_texts t
     where sms_status.with_words and t.heard = 'words' and t.seen_at is null having count(*) > 0)
    union all
    -- Not sending: everybody's texts; environment: those of businesses without a sender of their own.
    (select 'stopped', case when sms_status.with_senders and c.sender <> '' and exists (select from smsretry.business_senders)
                            then 'environment' else 'sending' end,
            null::uuid, null::bigint, c.opened_at, null::timestamptz, c.why, null::text
     from smsretry.circuits() c where not c.own)
    union all
    select * from smsretry.status_of_mark() m where sms_status.with_senders
    union all
    select * from smsretry.status_of_senders(v_now) s where sms_status.with_senders
    union all
    (select 'stopped', s.state, null::uuid, null::bigint, s.stopped_at, null::timestamptz, s.why, null::text
     from smsretry.stopped_states s order by s.state)
    union all
    (select 'run', r.id::text, null::uuid, null::bigint, r.started_at, r.finished_at,
            coalesce(r.told, case when r.interrupted_at is not null then 'It was interrupted' else 'It is under way' end), null::text
     from smsretry.runs r order by r.started_at desc limit 5);
end
$$;

-- ======== schemas/desk/status_of_mark.sql ========
-- sms_status: what the database is marked as (mark: staging or production; told: its address), whom the last run's worker
-- texts, unless everybody (runner: listed or nobody), and what keeps texts if the two disagree (stopped: sending).
create or replace function smsretry.status_of_mark()
returns table (part text, name text, business_id uuid, texts bigint, oldest timestamptz, next_at timestamptz, told text, why_code text)
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
begin
    return query
    select 'mark', m.kind, null::uuid, null::bigint, m.marked_at, null::timestamptz, m.address, null::text from smsretry.mark m;
    return query
    select l.part, l.name, null::uuid, null::bigint, r.started_at, null::timestamptz, l.told, l.why_code
    from (select u.* from smsretry.runs u order by u.started_at desc limit 1) r
    cross join lateral (
        values ('runner', r.send_to, null::text, null::text),
               ('stopped', 'sending', smsretry.mark_mismatch(r.send_to, r.address), 'mark_mismatch')
    ) l (part, name, told, why_code)
    where l.part = 'runner' and l.name <> 'all' or l.told is not null;
end
$$;

-- ======== schemas/checks/advice_on_triggers.sql ========
-- What to do if a function of the application's trigger did not find a table, function or type by its bare name: our
-- functions call it with our search_path, which does not have public. Empty if the error is another one. `context`: the
-- error's, which names the functions that were running.
create or replace function smsretry.advice_on_triggers(state text, context text)
returns text
language sql stable security invoker set search_path = pg_catalog, pg_temp as $$
    select coalesce(string_agg(
        '. Trigger ' || quote_ident(t.tgname) || ' of ' || t.tgrelid::regclass || ' calls ' || p.oid::regprocedure
            || ', which has no search_path of its own and here does not find what is in public. Run: alter '
            || case p.prokind when 'p' then 'procedure ' else 'function ' end || p.oid::regprocedure || ' set search_path = public'
            || case when to_regnamespace('extensions') is null then '' else ', extensions' end,
        '' order by t.tgrelid::regclass::text, t.tgname), '')
    from pg_trigger t
    join pg_class c on c.oid = t.tgrelid and c.relnamespace = 'public'::regnamespace
        and c.relname in ('businesses', 'customers', 'send_logs', 'scheduled_sends', 'sms_retry_queue')
    join pg_proc p on p.oid = t.tgfoid and p.pronamespace <> 'smsretry'::regnamespace
    where not t.tgisinternal and t.tgenabled in ('O', 'A')
      -- undefined_table, _function, _object, _column and invalid_schema_name
      and advice_on_triggers.state in ('42P01', '42883', '42704', '42703', '3F000')
      and not exists (select from unnest(p.proconfig) s where s like 'search\_path=%')
      and position(p.oid::regprocedure::text in advice_on_triggers.context) > 0
$$;

-- ======== schemas/checks/catalog_of_tables.sql ========
-- Tables, views, columns and constraints as the catalog has them, in words that are the same on each version of PostgreSQL.
create or replace function smsretry.catalog_of_tables()
returns table (kind text, part_of text, name text, facts jsonb)
language sql stable security invoker set search_path = pg_catalog, pg_temp
set timezone = 'UTC' set datestyle = 'ISO' set intervalstyle = 'postgres' set quote_all_identifiers = off as $$
    select case when r.relkind in ('v', 'm') then 'view' else 'table' end, n.nspname::text, c.relname::text,
           jsonb_build_object(
               'is', case r.relkind when 'r' then 'table' when 'p' then 'partitioned table' when 'v' then 'view'
                                    when 'm' then 'materialized view' else 'foreign table' end,
               'logged', c.relpersistence = 'p', 'row security', c.relrowsecurity, 'forced', c.relforcerowsecurity,
               'options', to_jsonb(array(select o from unnest(c.reloptions) o order by o)),
               -- Up to version 15 PostgreSQL names the table of each column, also where there is but one. It writes a cast to
               -- text where the application's column is a varchar or an enum.
               'definition', case when r.relkind in ('v', 'm')
                   then md5(regexp_replace(regexp_replace(pg_get_viewdef(r.id), '\m[a-z_]+\.(?=[a-z_])', '', 'g'), '[\s()]+|::text\M(?!\[)', '', 'g'))
                   else '' end)
    from smsretry.our_relations() r
    join pg_class c on c.oid = r.id
    join pg_namespace n on n.oid = c.relnamespace
    union all
    select 'column', r.named, a.attname::text, jsonb_build_object(
        'type', format_type(a.atttypid, a.atttypmod)
            || coalesce((select ' collate ' || a.attcollation::regcollation from pg_type y
                         where y.oid = a.atttypid and a.attcollation <> y.typcollation), ''),
        'not null', a.attnotnull,
        'default', coalesce(pg_get_expr(d.adbin, d.adrelid), ''), 'generated', a.attgenerated::text || a.attidentity::text)
    from smsretry.our_relations() r
    join pg_attribute a on a.attrelid = r.id and a.attnum > 0 and not a.attisdropped
    left join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
    union all
    -- A foreign key is kept by triggers, also of the other table, which can be switched off.
    select 'constraint', r.named, k.conname::text, jsonb_build_object(
        'definition', regexp_replace(pg_get_constraintdef(k.oid), ' NOT VALID$', ''), 'validated', k.convalidated,
        'switched off', to_jsonb(array(
            select format('alter table %s enable trigger %I', t.tgrelid::regclass, t.tgname)
            from pg_trigger t where t.tgconstraint = k.oid and t.tgenabled not in ('O', 'A') order by t.tgname)))
    from smsretry.our_relations() r
    join pg_constraint k on k.conrelid = r.id and k.contype in ('c', 'f', 'p', 'u', 'x')
$$;

-- ======== schemas/checks/check_leaks.sql ========
-- What shows rows to people whom they do not concern, or lets these change them: policies that hold for every row, views with
-- their owner's rights, publications, new rows of the queue by other rules than ours. Warnings, because somebody may have
-- meant them.
create or replace function smsretry.check_leaks()
returns table (subject text, ok boolean, advice text)
language sql stable security invoker set search_path = pg_catalog, pg_temp as $$
    with whom (named, words) as (values ('anon', 'anyone with the anon key'), ('authenticated', 'every signed-in user')),
    open as (
        select y.polname, r.relname, c.command, c.privilege, g.rolname, w.words
        from smsretry.our_relations() t
        join pg_class r on r.oid = t.id and r.relnamespace = 'public'::regnamespace
        join pg_policy y on y.polrelid = r.oid and y.polpermissive
        join (values ('r', 'read', 'select'), ('a', 'add', 'insert'), ('w', 'change', 'update'), ('d', 'delete', 'delete'))
            as c (command, does, privilege) on y.polcmd in (c.command::"char", '*')
        join pg_roles g on y.polroles @> array[0::oid] or g.oid = any (y.polroles)
        join whom w on w.named = g.rolname
        where smsretry.holds_for_all(case c.command when 'a' then coalesce(pg_get_expr(y.polwithcheck, y.polrelid), pg_get_expr(y.polqual, y.polrelid))
                                                    else pg_get_expr(y.polqual, y.polrelid) end)
          and (has_table_privilege(g.oid, r.oid, c.privilege)
               or c.command <> 'd' and has_any_column_privilege(g.oid, r.oid, c.privilege))
    )
    select 'policy "' || o.polname || '" of ' || o.relname, true,
           'lets ' || string_agg(distinct o.words, ' and ') || case
               when o.command = 'a' and o.relname in ('sms_retry_queue', 'scheduled_sends') then ' have any other''s texts sent: drop or narrow it'
               else case o.command when 'r' then ' read' when 'w' then ' change' when 'd' then ' delete' else ' add' end
                   || case o.command when 'a' then ' rows of anybody''s' else ' all rows' end || ': drop or narrow it, unless that is meant' end
    from open o
    group by o.polname, o.relname, o.command
    union all
    select 'policy "' || y.polname || '" of sms_retry_queue', true,
           'lets every signed-in user add rows that smsretry''s own policy refuses, unless that is meant: rows that are not '
               || 'pending, or for another''s text. Run: drop policy ' || quote_ident(y.polname) || ' on public.sms_retry_queue'
    from pg_policy y
    where y.polrelid = to_regclass('public.sms_retry_queue') and y.polpermissive and y.polcmd in ('a', '*')
      and y.polname <> 'Owners queue retries of their texts'
      and exists (select from pg_roles g where g.rolname = 'authenticated' and has_any_column_privilege(g.oid, y.polrelid, 'insert')
                  and (y.polroles @> array[0::oid] or g.oid = any (y.polroles)))
      and not exists (select from open o where o.polname = y.polname and o.relname = 'sms_retry_queue' and o.command = 'a')
    union all
    select 'view ' || v.oid::regclass, true,
           'shows ' || string_agg(distinct w.words, ' and ') || ' rows of ' || string_agg(distinct t.named, ', ')
               || ' with its owner''s rights, past row level security, unless that is meant. Run: alter view ' || v.oid::regclass
               || ' set (security_invoker = true)'
    from smsretry.our_relations() t
    join pg_depend d on d.refclassid = 'pg_class'::regclass and d.refobjid = t.id and d.classid = 'pg_rewrite'::regclass and d.deptype = 'n'
    join pg_rewrite u on u.oid = d.objid
    join pg_class v on v.oid = u.ev_class and v.relkind = 'v' and v.oid <> t.id
    join whom w on has_any_column_privilege(w.named, v.oid, 'select')
    where t.relkind in ('r', 'p') and coalesce(v.reloptions && array['security_invoker=true', 'security_invoker=on', 'security_invoker=1'], false) is false
    group by v.oid
    union all
    select 'publication ' || p.pubname, true,
           'carries ' || count(*) || ' tables of the schema smsretry out of the database, unless that is meant: drop the schema from it'
    from pg_publication_tables p
    join pg_publication b on b.pubname = p.pubname and not b.puballtables
    where p.schemaname = 'smsretry' and not exists (select from pg_publication_rel e where e.prpubid = b.oid)
    group by p.pubname
$$;

-- ======== schemas/checks/check_sms_mark.sql ========
-- For `smsretry doctor`: whether a worker with these settings and the database's mark agree (mismatch null; else why not), what
-- the mark is, and which of the businesses that the worker texts do not exist. send_to, address: smsretry.mark_mismatch.
create or replace function public.check_sms_mark(send_to text, address text, business_ids uuid[] default '{}')
returns table (mark text, marked_address text, mismatch text, unknown uuid[])
language plpgsql stable security invoker set search_path = pg_catalog, pg_temp as $$
begin
    return query
    select m.kind, m.address, smsretry.mark_mismatch(check_sms_mark.send_to, check_sms_mark.address),
           array(select b.id from unnest(check_sms_mark.business_ids) b (id)
                 where not exists (select from public.businesses k where k.id = b.id) order by b.id)
    from (select 1) one left join smsretry.mark m on true;
end
$$;

-- ======== schemas/checks/rehearse_scheduled_send.sql ========
-- Plan and queue a scheduled send, and roll it back. Nulls if that worked, or if only a made-up text would break what this
-- one broke; otherwise the step that failed, and its error.
create or replace function smsretry.rehearse_scheduled_send(out step text, out state text, out message text, out context text)
language plpgsql security invoker set search_path = pg_catalog, pg_temp as $$
declare
    v_log_id uuid;
    v_log public.send_logs;
    v_scheduled_id uuid;
    v_answer text;
begin
    step := 'making its send log';
    v_log_id := smsretry.sample_text();
    select * into v_log from public.send_logs l where l.id = v_log_id;
    perform smsretry.make_send_log(
        gen_random_uuid(), coalesce(v_log.business_id, gen_random_uuid()), coalesce(v_log.customer_id, gen_random_uuid()),
        'Rehearsal of a scheduled send', smsretry.clock());
    if v_log.id is null then
        raise exception 'there is nobody to plan it for' using errcode = 'SR000';
    end if;
    step := 'schedule_sms';
    select s.scheduled_id into v_scheduled_id
    from public.schedule_sms(v_log.business_id, v_log.customer_id, 'Rehearsal of a scheduled send', smsretry.clock()) s;
    step := 'queue_scheduled_sms';
    select q.result || coalesce(': ' || q.why, '') into v_answer
    from public.scheduled_sends s cross join lateral smsretry.queue_scheduled(s, smsretry.clock(), null) q
    where s.id = v_scheduled_id;
    if v_answer is distinct from 'queued' then
        raise exception 'it answered %', v_answer using errcode = 'SR500';
    end if;
    raise exception 'rolled back' using errcode = 'SR000';
exception when others then
    get stacked diagnostics state = returned_sqlstate, message = message_text, context = pg_exception_context;
    -- A second text of the same customer may break a rule of the application's. A made-up customer breaks foreign keys and
    -- triggers; then only what any row would break counts.
    if state in ('SR000', '55P03', '40P01', '23505')
        or v_log.id is null and state not in ('23502', '23514', '428C9') then
        step := null;
    end if;
end
$$;

-- ======== schemas/checks/rehearse_text.sql ========
-- Queue, claim, begin and finish a sample text, or cancel it by an opt-out, so that it ends as `ends`, and roll it back.
-- Nulls if that worked; otherwise the step that failed, and its error.
create or replace function smsretry.rehearse_text(ends text, out step text, out state text, out message text, out context text)
language plpgsql security invoker set search_path = pg_catalog, pg_temp as $$
declare
    v_log_id uuid;
    v_log public.send_logs;
    v_retry_id uuid;
    v_claim smsretry.claimed_retry;
    v_attempt_id constant uuid := gen_random_uuid();
    v_answer text;
begin
    step := 'making a sample text';
    v_log_id := smsretry.sample_text();
    select * into v_log from public.send_logs l where l.id = v_log_id;
    if v_log.id is null then
        raise exception 'there is no text to try it with: the tables refuse a new one (columns that need a value?), and none '
            'is there that is unsent and does not wait' using errcode = 'SR000';
    end if;
    step := 'queue_sms_retry';
    select q.retry_id, q.result into v_retry_id, v_answer from public.queue_sms_retry(v_log.id) q;
    if v_answer <> 'queued' then
        raise exception 'it answered %', v_answer using errcode = 'SR500';
    end if;
    if ends = 'cancelled' then
        step := 'record_sms_consent';
        select s.cancelled::text into v_answer
        from public.record_sms_consent('+15005550006', 'opted_out', 'rehearsal', v_log.business_id) s;
        if v_answer = '0' then
            raise exception 'an opt-out cancelled nothing' using errcode = 'SR500';
        end if;
    else
        step := 'claim_sms_texts';
        perform 1 from public.claim_sms_texts(0); -- none: the due rows are not ours to take
        step := 'claim_sms_retry';
        select * into v_claim from public.claim_sms_retry(v_retry_id);
        if v_claim.id is null then
            raise exception 'it took no row' using errcode = 'SR500';
        end if;
        step := 'begin_sms_attempt';
        delete from smsretry.business_senders b where b.business_id = v_log.business_id; -- or a pause or a cap would answer
        select b.answer || coalesce(': ' || b.why, '') into v_answer
        from public.begin_sms_attempt(
            retry_id => v_claim.id, claim_no => v_claim.claim_no, attempt_id => v_attempt_id,
            send_before => smsretry.clock() + interval '1 hour', quiet_hours_rule => 'rehearsal',
            send_to => 'listed', listed => true) b; -- or a mark would answer
        if v_answer <> 'go' then
            raise exception 'it answered %', v_answer using errcode = 'SR500';
        end if;
        step := 'finish_sms_attempt';
        select f.status into v_answer
        from public.finish_sms_attempt(
            retry_id => v_claim.id, claim_no => v_claim.claim_no, attempt_id => v_attempt_id,
            outcome => case ends when 'failed' then 'rejected' else 'accepted' end, next_status => ends,
            error => case ends when 'failed' then 'Rehearsal' end,
            twilio_sid => case ends when 'completed' then 'SM' || replace(v_attempt_id::text, '-', '') end) f
        where f.applied;
        if v_answer is distinct from ends then
            raise exception 'the text did not end %', ends using errcode = 'SR500';
        end if;
    end if;
    step := null;
    raise exception 'rolled back' using errcode = 'SR000';
exception when others then
    get stacked diagnostics state = returned_sqlstate, message = message_text, context = pg_exception_context;
end
$$;

-- ======== schemas/checks/try_sms_retry_queue.sql ========
-- Rehearse for `smsretry doctor` and `smsretry migrate`: one sample text ends completed, one failed, one cancelled.
-- Everything is rolled back, and no row of the application's is touched. ok is false if a step failed; advice says which, or
-- why it could not be tried now. A second row reports a failing scheduled send; it is ok, because no other text depends on
-- it.
create or replace function public.try_sms_retry_queue()
returns table (subject text, ok boolean, advice text)
language plpgsql security invoker set search_path = pg_catalog, pg_temp
set lock_timeout = '2s' as $$
declare
    v_ends text;
    v_failed record;
begin
    subject := 'rehearsal of queue, claim, begin and finish';
    ok := true;
    foreach v_ends in array array['completed', 'failed', 'cancelled'] loop
        select * into v_failed from smsretry.rehearse_text(v_ends);
        if v_failed.step is not null then
            -- No text to try with, or a lock: nothing is known to be wrong.
            ok := v_failed.state in ('SR000', '55P03', '40P01');
            advice := case when ok then 'could not be tried: ' else 'fails: ' end
                || v_failed.step || ' (' || v_failed.state || '): ' || left(v_failed.message, 300)
                || case when v_failed.state = '42501' then '. A grant is missing: run `smsretry migrate --again`' else '' end
                || smsretry.advice_on_triggers(v_failed.state, v_failed.context);
            exit;
        end if;
    end loop;
    return next;
    if not ok then
        return;
    end if;
    select * into v_failed from smsretry.rehearse_scheduled_send();
    if v_failed.step is not null then
        subject := 'rehearsal of a scheduled send';
        advice := 'fails: ' || v_failed.step || ' (' || v_failed.state || '): ' || left(v_failed.message, 300) || case v_failed.step
            when 'schedule_sms' then '. What the application inserts by itself is queued; for the call, give what is named a default'
            else '. Until that is fixed, scheduled sends are held and become no texts: give what is named a default, or look '
                || 'at the rules and triggers of send_logs and scheduled_sends' end
            || smsretry.advice_on_triggers(v_failed.state, v_failed.context);
        return next;
    end if;
end
$$;

-- ======== schemas/triggers/triggers.sql ========
-- What happens on writes that are not ours.

drop trigger if exists smsretry_before_insert on public.sms_retry_queue;
create trigger smsretry_before_insert
    before insert on public.sms_retry_queue for each row execute function smsretry.before_insert();

drop trigger if exists smsretry_open_delivery on public.sms_send_attempts;
create trigger smsretry_open_delivery
    before insert or update of delivery_look_at on public.sms_send_attempts
    for each row when (new.delivery_look_at is not null and new.business_id is null) execute function smsretry.open_delivery();

drop trigger if exists smsretry_scheduled_send_changed on public.scheduled_sends;
create trigger smsretry_scheduled_send_changed
    before update on public.scheduled_sends for each row execute function smsretry.scheduled_send_changed();

-- What all of a statement's rows came to. An upsert's inserted rows count.
drop trigger if exists smsretry_scheduled_sends_begin on public.scheduled_sends;
create trigger smsretry_scheduled_sends_begin
    before update on public.scheduled_sends for each statement execute function smsretry.scheduled_sends_asked();

drop trigger if exists smsretry_scheduled_send_added on public.scheduled_sends;
create trigger smsretry_scheduled_send_added
    after insert on public.scheduled_sends for each row execute function smsretry.scheduled_sends_asked();

drop trigger if exists smsretry_scheduled_sends_end on public.scheduled_sends;
create trigger smsretry_scheduled_sends_end
    after update on public.scheduled_sends for each statement execute function smsretry.scheduled_sends_asked();

drop trigger if exists smsretry_keep_suppression on public.customers;
create trigger smsretry_keep_suppression
    after insert or update of business_id, phone, sms_consent_status, sms_consent_at, sms_consent_source on public.customers
    for each row execute function smsretry.keep_suppression();

-- Not for a claim, a begin and an acceptance, which the plain path is made of.
drop trigger if exists smsretry_keep_step on public.sms_retry_queue;
create trigger smsretry_keep_step
    after update on public.sms_retry_queue for each row
    when (new.status in ('pending', 'failed', 'cancelled') and (old.status <> new.status or new.scheduled_for > old.scheduled_for)
          or new.status = 'completed' and (new.claimed_at is not null or old.status not in ('processing', 'completed')))
    execute function smsretry.keep_step();

drop trigger if exists smsretry_keep_customer_changes on public.customers;
create trigger smsretry_keep_customer_changes
    after update of phone, sms_consent_status on public.customers for each row
    when ((old.phone, old.sms_consent_status) is distinct from (new.phone, new.sms_consent_status))
    execute function smsretry.keep_customer_changes();

-- ======== schemas/rights/internal_functions.sql ========
-- Only the backend calls the functions in the schema smsretry.
revoke all on all functions in schema smsretry from public, anon, authenticated;
grant execute on all functions in schema smsretry to service_role;

-- ======== schemas/rights/public_functions.sql ========
-- Only the backend calls our functions in public. A Supabase project lets everybody call a new one. A function that a
-- migration created anew (smsretry.granted_…) keeps the roles of the owner's own that may call it.
do $$
declare
    version regprocedure;
    granted text;
    role regrole;
begin
    for version, granted in
        select p.oid::regprocedure, current_setting('smsretry.granted_' || p.proname, true) from pg_catalog.pg_proc p
        where p.pronamespace = 'public'::regnamespace and 'search_path=pg_catalog, pg_temp' = any (p.proconfig) and p.proname in (
        'add_sms_sender', 'ask_sms_desk', 'begin_sms_attempt', 'cancel_sms_retries', 'change_sms_sender', 'check_sms_mark', 'check_sms_retries', 'check_sms_retry_setup', 'claim_doubtful_sms_retries', 'claim_due_sms_retries', 'claim_sms_deliveries', 'claim_sms_retry', 'claim_sms_texts', 'claim_suspect_sms_retry', 'count_sms_answer', 'defer_sms_retry', 'describe_sms_tables', 'doubt_sms_retries', 'end_sms_retry', 'examine_sms_retries', 'explain_sms', 'finish_sms_attempt', 'finish_sms_delivery', 'finish_sms_run', 'group_sms_calls', 'hold_sms_retry', 'import_sms_opt_outs', 'lease_sms_sender', 'lease_sms_time', 'lease_sms_times', 'look_again_sms', 'look_up_sms', 'mark_sms_database', 'next_sms_due', 'pause_sms_sender', 'preview_sms_retries', 'prune_sms_history', 'queue_scheduled_sms', 'queue_sms_retry', 'reconcile_sms_retry', 'record_inbound_sms', 'record_sms_consent', 'recover_stuck_sms_retries', 'remove_sms_sender', 'requeue_failed_sms', 'resolve_sms_doubt', 'resume_sms_sender', 'schedule_sms', 'set_sms_circuit', 'set_sms_state_stop', 'settle_sms_attempt', 'slow_sms_sender', 'sms_senders', 'sms_status', 'start_sms_run', 'try_sms_retry_queue'
        )
    loop
        execute format('revoke all on function %s from public, anon, authenticated', version);
        execute format('grant execute on function %s to service_role', version);
        foreach role in array coalesce(nullif(granted, ''), '{}')::regrole[] loop
            continue when role::text in ('anon', 'authenticated', 'service_role');
            execute format('grant execute on function %s to %s', version, role);
        end loop;
    end loop;
end
$$;

-- ======== PostgREST learns of the change at once ========
notify pgrst, 'reload schema';
