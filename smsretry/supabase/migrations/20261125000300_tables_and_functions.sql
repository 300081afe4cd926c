-- ======== schemas/10_businesses.sql ========
-- The application's table. It is made only where there is none, and its policy with it: an existing one keeps its own.
do $$
begin
    if to_regclass('public.businesses') is null then
        create table public.businesses (
            id uuid primary key default gen_random_uuid(),
            user_id uuid not null,
            name text not null,
            timezone text
        );
        alter table public.businesses enable row level security;
        create policy "Owners read their businesses" on public.businesses
            for select to authenticated using (user_id = (select auth.uid()));
    end if;
end
$$;

-- Ours in it, whoever made it. Text, so that a person can write and read it in a table editor.
alter table public.businesses add column if not exists sms_hours text;
comment on column public.businesses.sms_hours is 'The business''s own hours for texts, on the customer''s clock: 09:00-18:00, or Mon-Fri 09:00-18:00, Sat 10:00-16:00. They narrow what the law allows. Null: it has none of its own.';

-- Unreadable hours would hold every text of the business. The grammar is that of
-- smsretry.quiet_hours.rules.parse_week, which also notices hours that close before they open.
do $$
declare
    day constant text := '(Mon|Tue|Wed|Thu|Fri|Sat|Sun)';
    clock constant text := '([01][0-9]|2[0-3]):[0-5][0-9]';
    entry constant text := '((' || day || '(-' || day || ')? )?' || clock || '-(' || clock || '|24:00))';
begin
    alter table public.businesses drop constraint if exists businesses_sms_hours;
    execute format(
        'alter table public.businesses add constraint businesses_sms_hours check (sms_hours ~ %L)',
        '^' || entry || '(, *' || entry || ')*$');
end
$$;

grant select on public.businesses to service_role;

-- ======== schemas/11_customers.sql ========
-- The application's table. It is made only where there is none, and its policy with it: an existing one keeps its own.
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
    end if;
end
$$;

-- For the daily cap and for an opt-out, which belong to a number: several customers may share one. A hash, because an
-- ordinary index would refuse the application's rows whose phone is longer than a page of it.
create index if not exists customers_phone on public.customers using hash (phone);

grant select, update on public.customers to service_role; -- update: consent and phone_status

-- ======== schemas/12_send_logs.sql ========
-- The application's table. It is made only where there is none, and its policy with it: an existing one keeps its own.
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
    end if;
end
$$;

-- The daily cap counts the texts that the application sent to a customer itself.
create index if not exists send_logs_customer_changed
    on public.send_logs (customer_id, (coalesce(updated_at, created_at)));

-- insert: of a scheduled send; update: what became of the text
grant select, insert, update on public.send_logs to service_role;

-- ======== schemas/13_scheduled_sends.sql ========
-- Texts that are planned for a time. The application's table: it is made only where there is none, and its policies and
-- grants with it; an existing one keeps its own. A row becomes a send log and a row of the queue shortly before its time
-- (queue_scheduled_sms). What becomes of the text then is told by the send log, which has the row's own id.
do $$
begin
    if to_regclass('public.scheduled_sends') is not null then
        return;
    end if;
    create table public.scheduled_sends (
        id uuid primary key default gen_random_uuid(),
        -- As in the queue: no foreign key to customers. A row whose customer is gone ends with a reason.
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
    -- A Supabase project grants everything in public to anon and authenticated; only what is needed is given back. The
    -- message class is not a tenant's to choose: a transactional text keeps fewer rules.
    revoke all on public.scheduled_sends from public, anon, authenticated;
    grant select on public.scheduled_sends to authenticated;
    grant insert (id, business_id, customer_id, body, scheduled_for, not_after, created_by)
        on public.scheduled_sends to authenticated;
    grant update (body, scheduled_for, not_after, status) on public.scheduled_sends to authenticated;
    -- A text that is no longer wanted is cancelled, not deleted: deleting the row would not end the text.
    revoke delete, truncate on public.scheduled_sends from service_role;
end
$$;

-- Ours in it, whoever made it.
alter table public.scheduled_sends add column if not exists customer_id uuid;
alter table public.scheduled_sends add column if not exists body text;
alter table public.scheduled_sends add column if not exists not_after timestamptz;
alter table public.scheduled_sends add column if not exists message_class text not null default 'marketing';
alter table public.scheduled_sends add column if not exists send_log_id uuid;
alter table public.scheduled_sends add column if not exists created_by uuid;
alter table public.scheduled_sends add column if not exists why text;
alter table public.scheduled_sends add column if not exists held_since timestamptz;
alter table public.scheduled_sends add column if not exists look_at timestamptz;
alter table public.scheduled_sends add column if not exists created_at timestamptz not null default now();
alter table public.scheduled_sends add column if not exists updated_at timestamptz not null default now();
comment on column public.scheduled_sends.status is 'scheduled: it waits for its time. queued: its text exists, and its send log says what becomes of it. cancelled, failed: it never became a text, or was cancelled in time; why says the reason.';
comment on column public.scheduled_sends.not_after is 'After this the text is of no more use, and is cancelled. Null: it is of use for as long as any text in the queue.';
comment on column public.scheduled_sends.send_log_id is 'The send log of its text, once there is one. It is the row''s own id.';
comment on column public.scheduled_sends.why is 'Why it was cancelled, has failed or is held.';
comment on column public.scheduled_sends.held_since is 'Since when it waits for something that a person can mend; why says what. It goes on by itself once that is mended.';
comment on column public.scheduled_sends.look_at is 'When it is looked at again, if not at its time.';

-- Rules for the states that are ours; an application may have others. Added unvalidated, then validated: a row that broke a
-- rule before there was one is reported.
do $$
declare
    rule record;
begin
    for rule in
        select * from (values
            ('scheduled_sends_message_class', $c$message_class in ('marketing', 'transactional')$c$),
            -- An instant that no calendar has (infinity, years BC) could be queued by nobody.
            ('scheduled_sends_instants', $c$status not in ('scheduled', 'queued')
                or scheduled_for between '2000-01-01 00:00+00' and '2100-01-01 00:00+00'
                   and not_after between '2000-01-01 00:00+00' and '2100-01-01 00:00+00'$c$),
            -- A text that is of no more use at its own time could only be cancelled.
            ('scheduled_sends_use', $c$status <> 'scheduled' or not_after > scheduled_for$c$),
            -- A body of megabytes would cost the other rows their turn. 1600 characters are the most that Twilio takes.
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

-- What is due, oldest first.
create index if not exists scheduled_sends_due
    on public.scheduled_sends ((coalesce(look_at, scheduled_for)), id) where status = 'scheduled';
-- A person's planned texts, and those that never became one, for the desk.
create index if not exists scheduled_sends_customer
    on public.scheduled_sends (customer_id) where send_log_id is null;

grant select, insert, update on public.scheduled_sends to service_role;

-- ======== schemas/13_sms_retry_queue.sql ========
-- One row a text that is owed to one person. The first columns, down to updated_at, are the application's: their names,
-- values and meanings are kept for it.
create table if not exists public.sms_retry_queue (
    id uuid primary key default gen_random_uuid(),
    -- Deleting a business deletes its texts. There are no foreign keys to send_logs and customers: deleting one of those
    -- must neither be forbidden nor erase the row, which ends with a reason that a person can read.
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

    constraint sms_retry_queue_status check (status in ('pending', 'processing', 'completed', 'failed', 'cancelled')),
    constraint sms_retry_queue_message_class check (message_class in ('marketing', 'transactional')),
    constraint sms_retry_queue_reason check (reason in ('quiet_hours', 'twilio_error', 'rate_limit')),
    -- Attempts count the sends that were made. A row that may make none has no business being queued.
    constraint sms_retry_queue_attempts check (attempt_count between 0 and 1000 and max_attempts between 1 and 1000),
    -- An instant that no calendar has (infinity, years BC) could be read by no worker, and would cost the other rows of
    -- its claim theirs.
    constraint sms_retry_queue_instants check (
        scheduled_for between '2000-01-01 00:00+00' and '2100-01-01 00:00+00'
        and expires_at between '2000-01-01 00:00+00' and '2100-01-01 00:00+00'
        and window_closes_at between '2000-01-01 00:00+00' and '2100-01-01 00:00+00'
        and last_attempted_at between '2000-01-01 00:00+00' and '2100-01-01 00:00+00'
        and created_at between '2000-01-01 00:00+00' and '2100-01-01 00:00+00'
        and updated_at between '2000-01-01 00:00+00' and '2100-01-01 00:00+00'),
    -- A claim's answer carries these for each of its rows.
    constraint sms_retry_queue_lengths check (length(last_error) <= 2000 and length(why) <= 2000),
    -- Only what waits is held.
    constraint sms_retry_queue_held check (held_since is null or (status in ('pending', 'processing') and why is not null)),
    -- Without a lease nobody could ever take a processing row back.
    constraint sms_retry_queue_lease check (status <> 'processing' or claimed_at is not null),
    -- Only a claimed row is begun, and the send that was begun has an id.
    constraint sms_retry_queue_begun check (begun_at is null or (status = 'processing' and attempt_id is not null)),
    -- A doubt is about one attempt, and a text that is known to be sent is not in doubt.
    constraint sms_retry_queue_doubt check (in_doubt_since is null or (attempt_id is not null and status <> 'completed'))
)
-- Claims and finishes rewrite rows all day. Room on the page keeps their updates HOT, and vacuum comes after a number of
-- dead rows, not after a share of the table.
with (fillfactor = 80, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);

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
comment on column public.sms_retry_queue.attempt_count is 'Sends made from the queue. A deferral, the recovery of a claim that was not begun and a request that was never sent do not count.';

-- One live row a text.
create unique index if not exists sms_retry_queue_one_live_row
    on public.sms_retry_queue (send_log_id) where status in ('pending', 'processing');
-- What is due, oldest first: the claim looks here first, and on most minutes finds nothing. What it includes lets the status
-- count all waiting texts by it alone, and costs no HOT update: those columns change only when the status does.
create index if not exists sms_retry_queue_next
    on public.sms_retry_queue (scheduled_for, id) include (reason, attempt_count, held_since)
    where status = 'pending' and in_doubt_since is null;
-- Where there is competition the claim walks these business by business, and never meets a row that is not due.
create index if not exists sms_retry_queue_due
    on public.sms_retry_queue (business_id, scheduled_for, id) where status = 'pending' and in_doubt_since is null;
create index if not exists sms_retry_queue_due_transactional
    on public.sms_retry_queue (business_id, scheduled_for, id)
    where status = 'pending' and in_doubt_since is null and message_class = 'transactional';
create index if not exists sms_retry_queue_due_closing
    on public.sms_retry_queue (business_id, window_closes_at, id)
    where status = 'pending' and in_doubt_since is null and window_closes_at is not null;
create index if not exists sms_retry_queue_in_doubt
    on public.sms_retry_queue (scheduled_for, id) where status = 'pending' and in_doubt_since is not null;
-- Rows under suspicion, which are claimed alone.
create index if not exists sms_retry_queue_suspect
    on public.sms_retry_queue (recover_count, scheduled_for)
    where status = 'pending' and recover_count >= 2;
-- The texts of a person, for the daily cap and for an opt-out.
create index if not exists sms_retry_queue_customer on public.sms_retry_queue (customer_id);
-- The texts of a send log, whatever became of them.
create index if not exists sms_retry_queue_send_log on public.sms_retry_queue (send_log_id);
-- What waits for a person, for the desk.
create index if not exists sms_retry_queue_held on public.sms_retry_queue (held_since) where held_since is not null;
-- What has ended, for the desk and for pruning. A row enters it once.
create index if not exists sms_retry_queue_ended
    on public.sms_retry_queue (updated_at) where status in ('completed', 'failed', 'cancelled');
-- Recovery reads all claims. By id, because an index on the lease itself would cost every begin its HOT update.
create index if not exists sms_retry_queue_claimed on public.sms_retry_queue (id) where status = 'processing';

alter table public.sms_retry_queue enable row level security;

drop policy if exists "Owners read their retries" on public.sms_retry_queue;
create policy "Owners read their retries" on public.sms_retry_queue for select to authenticated
    using (business_id in (select b.id from public.businesses b where b.user_id = (select auth.uid())));

-- The text and its customer must belong to the same business, or a tenant could have another tenant's text sent.
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

-- A Supabase project grants everything in public to anon and authenticated; only what is needed is given back.
revoke all on public.sms_retry_queue from public, anon, authenticated;
grant select on public.sms_retry_queue to authenticated;
-- What the application needs to queue a retry, and no more: claim number, lease and the book-keeping are not a tenant's
-- to set.
revoke insert on public.sms_retry_queue from authenticated;
grant insert (id, business_id, send_log_id, customer_id, status, attempt_count, max_attempts, scheduled_for,
              last_error, reason)
    on public.sms_retry_queue to authenticated;
-- History is kept: a text that is no longer wanted is cancelled, not deleted.
revoke delete, truncate on public.sms_retry_queue from service_role;
grant select, insert, update on public.sms_retry_queue to service_role;

-- ======== schemas/14_sms_send_attempts.sql ========
-- One row a send that was begun. Append-only: begin inserts it, it is settled once, and no function deletes it. What Twilio
-- reports of an accepted one afterwards is kept in delivery_….
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
    constraint sms_send_attempts_outcome check (outcome in ('accepted', 'rejected', 'not_sent', 'in_doubt')),
    constraint sms_send_attempts_settled_by check (settled_by in ('response', 'callback', 'reconcile', 'operator')),
    -- An outcome and its time are set together.
    constraint sms_send_attempts_finished check ((finished_at is null) = (outcome is null)),
    -- Only a message that Twilio accepted has a SID. A response without one is no acceptance; a send log that the
    -- application marked as sent is evidence even without one.
    constraint sms_send_attempts_sid check (
        case when outcome = 'accepted' then twilio_sid is not null or settled_by <> 'response' else twilio_sid is null end),
    -- A Twilio message belongs to one attempt.
    constraint sms_send_attempts_twilio_sid_key unique (twilio_sid),
    -- A claim sends at most once.
    constraint sms_send_attempts_one_per_claim unique (retry_id, claim_no),
    -- Number and body are kept for as long as evidence may be compared with them, and no longer.
    constraint sms_send_attempts_private check (
        outcome is null or outcome = 'in_doubt' or (sent_to is null and sent_body is null)),
    -- Twilio's own words for a message's progress, in order of their rank; unknown is ours, for one that was looked after
    -- for long enough.
    constraint sms_send_attempts_delivery check (delivery_status in (
        'accepted', 'scheduled', 'queued', 'sending', 'sent', 'unknown', 'undelivered', 'failed', 'canceled', 'delivered', 'read')),
    -- Only of a message that has a name is anything reported, and only a failure has a code.
    constraint sms_send_attempts_reported check (
        (twilio_sid is not null or (delivery_status is null and delivery_look_at is null))
        and (delivery_status is null) = (delivery_at is null)
        and (delivery_code is null or delivery_status in ('undelivered', 'failed', 'canceled')))
);
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
comment on column public.sms_send_attempts.delivery_looks is 'How often it was looked after. Fences what such a look comes to.';

-- The texts to a number since a moment, for the daily cap.
create index if not exists sms_send_attempts_number
    on public.sms_send_attempts (number_key, (coalesce(finished_at, begun_at)));
-- Whose delivery is open.
create index if not exists sms_send_attempts_open
    on public.sms_send_attempts (delivery_look_at) where delivery_look_at is not null;
-- What was sent lately. A BRIN, because attempts are only ever added.
create index if not exists sms_send_attempts_begun on public.sms_send_attempts using brin (begun_at) with (pages_per_range = 16);
-- Whose message is this? Asked by every look for evidence. A hash, because what stands there may be of any length.
create index if not exists send_logs_twilio_sid on public.send_logs using hash ((provider_message_id ->> 'twilio_sid'));

alter table public.sms_send_attempts enable row level security;

drop policy if exists "Owners read their attempts" on public.sms_send_attempts;
create policy "Owners read their attempts" on public.sms_send_attempts for select to authenticated
    using (exists (select 1 from public.sms_retry_queue q where q.id = retry_id));

-- A Supabase project grants everything in public to anon and authenticated; only what is needed is given back.
revoke all on public.sms_send_attempts from public, anon, authenticated;
grant select on public.sms_send_attempts to authenticated;
-- Attempts are deleted only with their business.
revoke delete, truncate on public.sms_send_attempts from service_role;
grant select, insert, update on public.sms_send_attempts to service_role;

-- ======== schemas/15_circuit.sql ========
-- The circuit breaker's memory between runs: at most one row, which is there while sending makes no sense because of the
-- account or of Twilio itself.
create table if not exists smsretry.circuit (
    only_one boolean primary key default true check (only_one),
    opened_at timestamptz not null,
    why text not null
);

-- Default privileges may be wide.
revoke all on smsretry.circuit from public, anon, authenticated;
grant select, insert, update, delete on smsretry.circuit to service_role;

-- ======== schemas/15_sender_time.sql ========
-- Until when each sender's time is given away: what it sends next, it sends then. One row a sender; all workers share it.
create table if not exists smsretry.sender_time (
    sender text primary key,
    free_at timestamptz not null
);

-- Default privileges may be wide.
revoke all on smsretry.sender_time from public, anon, authenticated;
grant select, insert, update, delete on smsretry.sender_time to service_role;

-- ======== schemas/16_stopped_states.sql ========
-- US states to which no marketing text goes until somebody lifts the stop: some forbid it during a declared emergency.
create table if not exists smsretry.stopped_states (
    state text primary key check (state ~ '^[A-Z]{2}$'),
    stopped_at timestamptz not null,
    why text not null
);

-- Default privileges may be wide.
revoke all on smsretry.stopped_states from public, anon, authenticated;
grant select, insert, update, delete on smsretry.stopped_states to service_role;

-- ======== schemas/17_secret.sql ========
-- The key of the hashes of phone numbers. Made here, and known to nobody else.
create table if not exists smsretry.secret (
    only_one boolean primary key default true check (only_one),
    key bytea not null default decode(replace(gen_random_uuid()::text || gen_random_uuid()::text, '-', ''), 'hex')
);
insert into smsretry.secret default values on conflict do nothing;

revoke all on smsretry.secret from public, anon, authenticated;
grant select on smsretry.secret to service_role;

-- ======== schemas/18_inbound_texts.sql ========
-- Texts by which somebody said STOP or START, by Twilio's name of each. One is recorded once: whoever sends an old webhook
-- again, which is still signed rightly, changes nobody's consent. prune_sms_history deletes STOPs after 90 days at least.
create table if not exists smsretry.inbound_texts (
    twilio_sid text primary key,
    heard_at timestamptz not null,
    said text not null,
    constraint inbound_texts_said check (said in ('STOP', 'START'))
);

-- Default privileges may be wide.
revoke all on smsretry.inbound_texts from public, anon, authenticated;
grant select, insert on smsretry.inbound_texts to service_role;

-- ======== schemas/18_runs.sql ========
-- One row a run of a worker: when it began, and what it came to. A run that was killed never says so itself; the next one
-- does, from the attempts that name it.
create table if not exists smsretry.runs (
    id uuid primary key,
    started_at timestamptz not null,
    finished_at timestamptz,
    told text,
    needs_somebody boolean,
    interrupted_at timestamptz,
    constraint runs_told check (length(told) <= 2000 and (finished_at is null) = (told is null))
);
comment on column smsretry.runs.id is 'In Prefect: the flow run of this id.';
comment on column smsretry.runs.told is 'What it came to, in numbers.';
comment on column smsretry.runs.interrupted_at is 'When a later run noticed that it had never finished.';

create index if not exists runs_started on smsretry.runs (started_at);
create index if not exists runs_unfinished on smsretry.runs (started_at) where finished_at is null and interrupted_at is null;

-- Default privileges may be wide.
revoke all on smsretry.runs from public, anon, authenticated;
grant select, insert, update on smsretry.runs to service_role;

-- ======== schemas/18_steps.sql ========
-- What a person did to a text, who it was and why: requeued, cancelled, resolved, put in doubt. Append-only.
create table if not exists smsretry.steps (
    retry_id uuid not null references public.sms_retry_queue (id) on delete cascade,
    taken_at timestamptz not null,
    step text not null,
    who text not null,
    because text not null,
    constraint steps_step check (step in ('requeued', 'cancelled', 'went out', 'did not go out', 'put in doubt')),
    constraint steps_lengths check (length(who) between 1 and 200 and length(because) between 1 and 500)
);
create index if not exists steps_retry on smsretry.steps (retry_id, taken_at);

-- Default privileges may be wide.
revoke all on smsretry.steps from public, anon, authenticated;
grant select, insert on smsretry.steps to service_role;

-- ======== schemas/18_suppressions.sql ========
-- Numbers that opted out of a business's texts. A suppression outlives the customer's row and is lifted only by an opt-in
-- that was recorded later.
create table if not exists smsretry.suppressions (
    number_key bytea primary key,
    business_id uuid not null references public.businesses (id) on delete cascade,
    since timestamptz not null,
    source text
);
comment on column smsretry.suppressions.number_key is 'smsretry.number_key: business and number, hashed.';

revoke all on smsretry.suppressions from public, anon, authenticated;
grant select, insert, update, delete on smsretry.suppressions to service_role;

-- ======== schemas/19_decided_by.sql ========
-- What a decision to send was made from, as a fingerprint: number, zones and the business's hours. If it has changed when
-- the send begins, the decision was about somebody else or somewhere else. Of each no more than the claim tells: a zone of megabytes would
-- cost the other rows of the claim theirs.
create or replace function smsretry.decided_by(phone text, timezone text, business_timezone text, business_hours text)
returns text language plpgsql immutable set search_path = pg_catalog, pg_temp as $$
begin
    return md5(concat_ws('|', left(coalesce(decided_by.phone, ''), 40), left(coalesce(decided_by.timezone, ''), 100),
                         left(coalesce(decided_by.business_timezone, ''), 100),
                         left(coalesce(decided_by.business_hours, ''), 1000)));
end
$$;

revoke all on function smsretry.decided_by from public, anon, authenticated;
grant execute on function smsretry.decided_by to service_role;

-- ======== schemas/19_delivery_rank.sql ========
-- Which of two reports of a message is the later one: Twilio's callbacks come in any order. A delivery outranks a failure,
-- because a carrier may call a message lost and deliver it all the same. Null: not a status of an outgoing text that we know.
create or replace function smsretry.delivery_rank(status text)
returns integer language sql immutable set search_path = pg_catalog, pg_temp as $$
    select case
        when delivery_rank.status in ('accepted', 'scheduled') then 1
        when delivery_rank.status = 'queued' then 2
        when delivery_rank.status = 'sending' then 3
        when delivery_rank.status = 'sent' then 4
        when delivery_rank.status = 'unknown' then 5
        when delivery_rank.status in ('undelivered', 'failed', 'canceled') then 6
        when delivery_rank.status = 'delivered' then 7
        when delivery_rank.status = 'read' then 8
    end
$$;

revoke all on function smsretry.delivery_rank from public, anon, authenticated;
grant execute on function smsretry.delivery_rank to service_role;

-- ======== schemas/19_found_sid.sql ========
-- The SID that a send log has of its text, or null. Empty is none: an application may write the key before it knows the SID.
-- What is stored on more than 10 kB is not opened: a claim would spend its time on a tenant's megabytes. Not in
-- language sql, here and in what is called with a tenant's values: since PostgreSQL 18 such a function is planned with its
-- arguments as constants, and they are opened for it.
create or replace function smsretry.found_sid(provider_message_id jsonb)
returns text language plpgsql immutable set search_path = pg_catalog, pg_temp as $$
begin
    if pg_column_size(found_sid.provider_message_id) >= 10000 then
        return null;
    end if;
    return left(nullif(btrim(found_sid.provider_message_id ->> 'twilio_sid'), ''), 40);
end
$$;

revoke all on function smsretry.found_sid from public, anon, authenticated;
grant execute on function smsretry.found_sid to service_role;

-- ======== schemas/19_is_sent.sql ========
-- Whether a send log says that its text was sent: it has Twilio's SID, or a status that a webhook writes only after Twilio
-- accepted the text. The one definition, for begin, for a look and for the webhook. By its columns and not by its row: the
-- row would be read with whatever else a tenant keeps in it.
create or replace function smsretry.is_sent(provider_message_id jsonb, status text)
returns boolean language plpgsql immutable set search_path = pg_catalog, pg_temp as $$
begin
    return smsretry.found_sid(is_sent.provider_message_id) is not null
        or coalesce(is_sent.status in ('sent', 'delivered', 'undelivered'), false);
end
$$;

revoke all on function smsretry.is_sent from public, anon, authenticated;
grant execute on function smsretry.is_sent to service_role;

-- ======== schemas/19_lock_number.sql ========
-- One at a time to a number at a business: a begin, a consent and a refusal that ends consent wait for each other here,
-- before any of them locks a row, so that they cannot deadlock.
create or replace function smsretry.lock_number(business_id uuid, phone text)
returns void language sql set search_path = pg_catalog, pg_temp as $$
    select pg_advisory_xact_lock(hashtextextended(lock_number.business_id::text || lock_number.phone, 0))
    where lock_number.phone is not null and lock_number.business_id is not null
$$;

revoke all on function smsretry.lock_number from public, anon, authenticated;
grant execute on function smsretry.lock_number to service_role;

-- ======== schemas/19_number_key.sql ========
-- A number at a business, as a keyed hash (RFC 2104's nesting): it counts and suppresses without telling the number.
-- Without the key nobody who opted out would be recognized, so that is an error (P0002, no data found).
create or replace function smsretry.number_key(business_id uuid, phone text)
returns bytea language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
    v_key bytea;
begin
    select s.key into strict v_key from smsretry.secret s;
    return sha256(v_key || sha256(v_key || convert_to(number_key.business_id::text || ' ' || number_key.phone, 'UTF8')));
end
$$;

revoke all on function smsretry.number_key from public, anon, authenticated;
grant execute on function smsretry.number_key to service_role;

-- ======== schemas/20_claimed_retry.sql ========
-- What a claim hands to its worker: a row with everything that decides about it. security_invoker, so that row level
-- security is the caller's.
create or replace view smsretry.claimed_retry with (security_invoker = true) as
select q.id, q.business_id, q.send_log_id, q.customer_id, q.status, q.attempt_count, q.max_attempts,
       q.scheduled_for, q.last_attempted_at, left(q.last_error, 2000) as last_error, q.reason, q.created_at, q.updated_at,
       q.claim_no, q.claimed_at, q.expires_at, q.held_since is not null as held, left(q.why, 2000) as why,
       q.attempt_id, q.in_doubt_since, q.reconcile_count, q.rate_limit_count, q.account_refusal_count, q.message_class,
       a.begun_at as attempt_begun_at, a.sent_to, a.sent_body, a.sent_by,
       exists (select 1 from smsretry.circuit) as circuit_open,
       array(select s.state from smsretry.stopped_states s order by s.state) as stopped_states,
       -- No more of a value than it can be: a body of megabytes would cost the other rows of the claim theirs.
       l.id is not null as send_log_found, left(l.subject, 1601) as body, left(l.channel::text, 40) as channel,
       smsretry.is_sent(l.provider_message_id, l.status::text) as log_says_sent,
       smsretry.found_sid(l.provider_message_id) as known_sid,
       c.id is not null as customer_found, left(c.phone, 40) as phone, left(c.timezone, 100) as timezone,
       left(c.sms_consent_status::text, 40) as sms_consent_status,
       left(b.timezone, 100) as business_timezone, left(b.sms_hours, 1000) as business_hours,
       smsretry.decided_by(c.phone, c.timezone, b.timezone, b.sms_hours) as decided_by
from public.sms_retry_queue q
left join public.sms_send_attempts a on a.id = q.attempt_id
-- Another business's are none of this text's: consent is given to one business.
left join public.send_logs l on l.id = q.send_log_id and l.business_id = q.business_id
left join public.customers c on c.id = q.customer_id and c.business_id = q.business_id
left join public.businesses b on b.id = q.business_id;

grant select on smsretry.claimed_retry to service_role;

-- ======== schemas/21_scheduled_claim.sql ========
-- A scheduled send as its claim will be once it is queued, so that the same decisions can be told of it beforehand. Columns:
-- smsretry.claimed_retry.
create or replace view smsretry.scheduled_claim with (security_invoker = true) as
select s.id, s.business_id, s.id as send_log_id, s.customer_id, 'pending'::text as status, 0 as attempt_count, 3 as max_attempts,
       s.scheduled_for, null::timestamptz as last_attempted_at, null::text as last_error, null::text as reason,
       s.created_at, s.updated_at, 0::bigint as claim_no, null::timestamptz as claimed_at, s.not_after as expires_at,
       s.held_since is not null as held, s.why, null::uuid as attempt_id, null::timestamptz as in_doubt_since,
       0 as reconcile_count, 0 as rate_limit_count, 0 as account_refusal_count, s.message_class,
       null::timestamptz as attempt_begun_at, null::text as sent_to, null::text as sent_body, null::text as sent_by,
       exists (select 1 from smsretry.circuit) as circuit_open,
       array(select t.state from smsretry.stopped_states t order by t.state) as stopped_states,
       true as send_log_found, left(s.body, 1601) as body, 'sms'::text as channel, false as log_says_sent,
       null::text as known_sid,
       c.id is not null as customer_found, left(c.phone, 40) as phone, left(c.timezone, 100) as timezone,
       left(c.sms_consent_status::text, 40) as sms_consent_status,
       left(b.timezone, 100) as business_timezone, left(b.sms_hours, 1000) as business_hours,
       smsretry.decided_by(c.phone, c.timezone, b.timezone, b.sms_hours) as decided_by
from public.scheduled_sends s
left join public.customers c on c.id = s.customer_id and c.business_id = s.business_id
left join public.businesses b on b.id = s.business_id
where s.status = 'scheduled';

grant select on smsretry.scheduled_claim to service_role;

-- ======== schemas/31_held.sql ========
-- The fence: the row, locked, if it is still held under this claim number; otherwise null. Every write that a worker makes
-- about its row begins here, so a worker that lost its claim changes nothing.
-- Callers assign the answer to a variable and do not select from it: a call that waits here while a migration adds a
-- column then goes on with the new row type, instead of failing on the old one.
create or replace function smsretry.held(retry_id uuid, claim_no bigint)
returns public.sms_retry_queue language plpgsql set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
declare
    v_row public.sms_retry_queue;
begin
    select q.* into v_row
    from public.sms_retry_queue q
    where q.id = held.retry_id and q.status = 'processing' and q.claim_no = held.claim_no
    for update;
    return v_row;
end
$$;

revoke all on function smsretry.held from public, anon, authenticated;
grant execute on function smsretry.held to service_role;

-- ======== schemas/32_take.sql ========
-- Claim these rows, and return them with all that decides about them. The caller has found them pending and locked them.
-- Their status is not asked for again: without statistics the planner would walk a partial index for it. A row in doubt
-- keeps the attempt that it is in doubt about. by_application: the claimer does not begin its sends.
create or replace function smsretry.take(ids uuid[], at timestamptz, by_application boolean default false)
returns setof smsretry.claimed_retry
language plpgsql set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
begin
    update public.sms_retry_queue q
    set status = 'processing', claim_no = q.claim_no + 1, claimed_at = take.at, begun_at = null,
        claimed_by_application = take.by_application,
        attempt_id = case when q.in_doubt_since is not null then q.attempt_id end, updated_at = take.at
    where q.id = any (take.ids);

    return query
    select r.* from smsretry.claimed_retry r where r.id = any (take.ids) order by r.scheduled_for, r.id;
end
$$;

revoke all on function smsretry.take from public, anon, authenticated;
grant execute on function smsretry.take to service_role;

-- ======== schemas/33_put_back.sql ========
-- Return a row to pending until it is due. The caller holds it locked and has set in it what else changes: counts,
-- reason, why, error, doubt. One write, and none to an indexed column but scheduled_for and status.
create or replace function smsretry.put_back(retry public.sms_retry_queue, due timestamptz, at timestamptz)
returns void language sql set search_path = pg_catalog, pg_temp as $$
    update public.sms_retry_queue q
    set status = 'pending', scheduled_for = put_back.due, claimed_at = null, begun_at = null,
        attempt_id = put_back.retry.attempt_id, in_doubt_since = put_back.retry.in_doubt_since,
        attempt_count = put_back.retry.attempt_count, recover_count = put_back.retry.recover_count,
        account_refusal_count = put_back.retry.account_refusal_count, held_since = put_back.retry.held_since,
        expires_at = put_back.retry.expires_at, window_closes_at = put_back.retry.window_closes_at, claimed_by_application = false,
        rate_limit_count = put_back.retry.rate_limit_count, reconcile_count = put_back.retry.reconcile_count,
        reconciled_claim_no = put_back.retry.reconciled_claim_no, reason = put_back.retry.reason,
        why = put_back.retry.why, last_error = left(put_back.retry.last_error, 2000), error_code = put_back.retry.error_code,
        updated_at = put_back.at
    where q.id = put_back.retry.id;
$$;

revoke all on function smsretry.put_back from public, anon, authenticated;
grant execute on function smsretry.put_back to service_role;

-- ======== schemas/34_close_row.sql ========
-- End a row for good, failed or cancelled, and tell its send log why. The caller holds it locked and has set its counts
-- and reason. What a send log already knows to be sent is never taken back.
create or replace function smsretry.close_row(
    retry public.sms_retry_queue, final_status text, error text, code integer, at timestamptz
)
returns void language sql set search_path = pg_catalog, pg_temp as $$
    update public.sms_retry_queue q
    set status = close_row.final_status, last_error = left(close_row.error, 2000), error_code = close_row.code, why = null, held_since = null,
        claimed_at = null, claimed_by_application = false, begun_at = null, attempt_id = null, in_doubt_since = null,
        attempt_count = close_row.retry.attempt_count, rate_limit_count = close_row.retry.rate_limit_count,
        reconciled_claim_no = close_row.retry.reconciled_claim_no, reason = close_row.retry.reason,
        updated_at = close_row.at
    where q.id = close_row.retry.id;

    update public.send_logs l
    set status = 'failed', error_message = left(close_row.error, 2000), updated_at = close_row.at
    where l.id = close_row.retry.send_log_id and l.business_id = close_row.retry.business_id
      and not smsretry.is_sent(l.provider_message_id, l.status::text);
$$;

revoke all on function smsretry.close_row from public, anon, authenticated;
grant execute on function smsretry.close_row to service_role;

-- ======== schemas/35_complete_row.sql ========
-- End a row whose text Twilio accepted, and tell its send log. The caller holds it locked and has set its counts and
-- reason. Without a SID it is the send log that says so, and it keeps what it says; so does one whose text was delivered by
-- an earlier message.
create or replace function smsretry.complete_row(retry public.sms_retry_queue, sid text, at timestamptz)
returns void language sql set search_path = pg_catalog, pg_temp as $$
    update public.sms_retry_queue q
    set status = 'completed', last_error = null, error_code = null, why = null, held_since = null,
        claimed_at = null, claimed_by_application = false, begun_at = null, attempt_id = null, in_doubt_since = null,
        attempt_count = complete_row.retry.attempt_count, rate_limit_count = complete_row.retry.rate_limit_count,
        reconciled_claim_no = complete_row.retry.reconciled_claim_no, reason = complete_row.retry.reason,
        updated_at = complete_row.at
    where q.id = complete_row.retry.id;

    update public.send_logs l
    set status = case when complete_row.sid is null then l.status else 'sent' end,
        provider_message_id = case when complete_row.sid is null then l.provider_message_id
                                   else jsonb_build_object('twilio_sid', complete_row.sid) end,
        error_message = null, updated_at = complete_row.at
    where l.id = complete_row.retry.send_log_id
      and not (l.status::text = 'delivered' and smsretry.found_sid(l.provider_message_id) is not null);
$$;

revoke all on function smsretry.complete_row from public, anon, authenticated;
grant execute on function smsretry.complete_row to service_role;

-- ======== schemas/35_tell_delivery.sql ========
-- Tell a send log what became of its message: delivered or undelivered, and of an undelivered one why. The column is the
-- application's. Where it does not take these words the log goes on saying sent, and the attempt has the truth.
create or replace function smsretry.tell_delivery(send_log_id uuid, status text, sid text, error text, at timestamptz)
returns void language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    for v_try in 1 .. 2 loop
        begin
            update public.send_logs l
            set status = case when v_try = 1 then tell_delivery.status
                              when tell_delivery.status = 'delivered' then 'sent' else l.status end,
                error_message = left(tell_delivery.error, 2000), updated_at = tell_delivery.at,
                provider_message_id = case
                    when smsretry.found_sid(l.provider_message_id) = tell_delivery.sid then l.provider_message_id
                    else jsonb_build_object('twilio_sid', tell_delivery.sid) end
            where l.id = tell_delivery.send_log_id;
            return;
        exception
            when deadlock_detected or lock_not_available or serialization_failure then
                raise; -- passing: the caller repeats the call
            when others then
                -- Its checks and triggers are the application's, too. They never undo what Twilio reported.
                if v_try = 2 then
                    raise warning 'Send log % could not be told that its text is %: %',
                        tell_delivery.send_log_id, tell_delivery.status, sqlstate;
                end if;
        end;
    end loop;
end
$$;

revoke all on function smsretry.tell_delivery from public, anon, authenticated;
grant execute on function smsretry.tell_delivery to service_role;

-- ======== schemas/36_accept_attempt.sql ========
-- Somebody knows that Twilio has the message of this attempt. If its row still waits for the answer, it is completed;
-- otherwise the send log is told, unless it has another message. The caller holds the row locked.
create or replace function smsretry.accept_attempt(
    retry public.sms_retry_queue, attempt_id uuid, sid text, settled_by text, at timestamptz
)
returns text language plpgsql set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
begin
    update public.sms_send_attempts a
    set outcome = 'accepted', finished_at = accept_attempt.at, settled_by = accept_attempt.settled_by,
        twilio_sid = accept_attempt.sid, error_code = null, sent_to = null, sent_body = null,
        delivery_look_at = accept_attempt.at
    where a.id = accept_attempt.attempt_id;
    if retry.status in ('pending', 'processing') and (retry.begun_at is null or retry.attempt_id = accept_attempt.attempt_id) then
        perform smsretry.complete_row(retry, accept_attempt.sid, accept_attempt.at);
        return 'settled';
    end if;
    update public.send_logs l
    set status = 'sent', error_message = null, updated_at = accept_attempt.at,
        provider_message_id = jsonb_build_object('twilio_sid', accept_attempt.sid)
    where l.id = retry.send_log_id and smsretry.found_sid(l.provider_message_id) is null;
    return 'recorded';
end
$$;

revoke all on function smsretry.accept_attempt from public, anon, authenticated;
grant execute on function smsretry.accept_attempt to service_role;

-- ======== schemas/36_record_delivery.sql ========
-- Keep what Twilio reports of a message that it has. Only forward, so a report may come late, twice and in any order. A
-- failure is to be decided about at once; a delivery ends the matter, and takes a failure back. The caller holds the row
-- locked. Answers whether it was news.
create or replace function smsretry.record_delivery(attempt_id uuid, status text, code integer, at timestamptz)
returns boolean language plpgsql set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
declare
    v_attempt public.sms_send_attempts;
    v_row public.sms_retry_queue;
    v_rank constant integer := smsretry.delivery_rank(record_delivery.status);
    v_known integer;
    v_shown text;
begin
    select * into v_attempt from public.sms_send_attempts a where a.id = record_delivery.attempt_id for update;
    select * into v_row from public.sms_retry_queue q where q.id = v_attempt.retry_id;
    v_known := coalesce(smsretry.delivery_rank(v_attempt.delivery_status), 0);
    if v_rank = v_known and v_rank = 6 and v_attempt.delivery_code is null then -- the report that said why came second
        update public.sms_send_attempts a set delivery_code = record_delivery.code where a.id = v_attempt.id;
        return record_delivery.code is not null;
    end if;
    if (v_rank > v_known) is not true then
        return false;
    end if;
    update public.sms_send_attempts a
    set delivery_status = record_delivery.status, delivery_at = record_delivery.at,
        delivery_code = case when v_rank = 6 then record_delivery.code end,
        delivery_look_at = case when v_rank < 5 then a.delivery_look_at when v_rank = 6 then record_delivery.at end
    where a.id = v_attempt.id;

    select smsretry.found_sid(l.provider_message_id) into v_shown from public.send_logs l where l.id = v_row.send_log_id;
    if v_rank = 6 and v_shown = v_attempt.twilio_sid then
        perform smsretry.tell_delivery(
            v_row.send_log_id, 'undelivered', v_attempt.twilio_sid,
            coalesce('Not delivered: Twilio ' || record_delivery.code, 'Not delivered'), record_delivery.at);
    elsif v_rank >= 7 and v_known < 7 then
        -- It was called lost, and was to be sent again or given up. A send of it that is under way ends by itself.
        if v_row.status = 'failed' or v_row.status = 'pending' and v_row.in_doubt_since is null then
            perform smsretry.complete_row(v_row, v_attempt.twilio_sid, record_delivery.at);
        end if;
        perform smsretry.tell_delivery(v_row.send_log_id, 'delivered', v_attempt.twilio_sid, null, record_delivery.at);
    end if;
    return true;
end
$$;

revoke all on function smsretry.record_delivery from public, anon, authenticated;
grant execute on function smsretry.record_delivery to service_role;

-- ======== schemas/36_set_consent.sql ========
-- Set or end consent for everyone at a business who has this number, and for one customer by id, whose number may have
-- changed since. Without a business: at all of them. An opt-out cancels their waiting texts; a text in doubt or under way
-- meets it at its own next begin. A repeated opt-out keeps the record of the first.
-- Returns how many customers it concerns and how many texts it cancelled.
create or replace function smsretry.set_consent(
    business_id uuid, customer_id uuid, phone text, consent text, source text, at timestamptz,
    out customers integer, out cancelled integer
)
language plpgsql set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
declare
    v_ids uuid[];
    v_waiting public.sms_retry_queue;
begin
    perform smsretry.lock_number(b.id, set_consent.phone)
    from public.businesses b
    where b.id = set_consent.business_id
       or set_consent.business_id is null
          and exists (select 1 from public.customers c where c.phone = set_consent.phone and c.business_id = b.id)
    order by b.id;
    -- Locked in one order, so that two opt-outs of the same people wait for each other and do not deadlock.
    select array_agg(locked.id) into v_ids from (
        select c.id from public.customers c
        where (c.phone = set_consent.phone or c.id = set_consent.customer_id)
          and (c.business_id = set_consent.business_id or set_consent.business_id is null)
        order by c.id for update) locked;
    customers := coalesce(cardinality(v_ids), 0);
    update public.customers c
    set sms_consent_status = set_consent.consent, sms_consent_at = set_consent.at, sms_consent_source = set_consent.source
    where c.id = any (v_ids)
      and (set_consent.consent <> 'opted_out' or c.sms_consent_status is distinct from 'opted_out');

    cancelled := 0;
    if set_consent.consent = 'opted_out' then
        for v_waiting in
            select q.* from public.sms_retry_queue q
            where q.customer_id = any (v_ids) and q.status = 'pending' and q.in_doubt_since is null
            order by q.id for update
        loop
            perform smsretry.close_row(v_waiting, 'cancelled', 'Customer opted out', null, set_consent.at);
            cancelled := cancelled + 1;
        end loop;
    end if;
end
$$;

revoke all on function smsretry.set_consent from public, anon, authenticated;
grant execute on function smsretry.set_consent to service_role;

-- ======== schemas/37_mark_customer.sql ========
-- Keep what Twilio's refusal said of the number: opted_out ends the consent of everyone at the business who has it,
-- phone_status tells the application that the number takes no texts. Never undoes the outcome that it came with.
create or replace function smsretry.mark_customer(
    retry public.sms_retry_queue, phone text, opted_out boolean, phone_status text, code integer, at timestamptz
)
returns void language plpgsql set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
begin
    if mark_customer.opted_out then
        perform smsretry.set_consent(
            mark_customer.retry.business_id, mark_customer.retry.customer_id, mark_customer.phone, 'opted_out',
            'twilio_' || mark_customer.code, mark_customer.at);
    end if;
    if mark_customer.phone_status is not null then
        update public.customers c set phone_status = mark_customer.phone_status
        where c.business_id = mark_customer.retry.business_id and c.phone = mark_customer.phone;
    end if;
exception
    when deadlock_detected or lock_not_available or serialization_failure then
        raise; -- passing: the caller repeats the call
    when others then
        -- The columns, checks and triggers are the application's. If they refuse the mark, the outcome still counts, and
        -- Twilio will refuse the next text as it refused this one.
        raise warning 'The customer of row % could not be marked after Twilio''s %: %',
            mark_customer.retry.id, mark_customer.code, sqlstate;
end
$$;

revoke all on function smsretry.mark_customer from public, anon, authenticated;
grant execute on function smsretry.mark_customer to service_role;

-- ======== schemas/38_cap_reached_at.sql ========
-- When a number reached its cap on texts since a moment: the time of the text that must leave that span before there is
-- room for one more, the cap-th from the end. Null: there is room. Counted is what may have reached the phone from this
-- business: sends accepted, in doubt or under way, and what the application sent itself.
create or replace function smsretry.cap_reached_at(business_id uuid, phone text, cap integer, since timestamptz)
returns timestamptz language sql set search_path = pg_catalog, pg_temp as $$
    with person as materialized (
        select c.id from public.customers c
        where c.phone = cap_reached_at.phone and c.business_id = cap_reached_at.business_id
    ),
    reached (at) as (
        -- By the number and not by the customer: a customer who is deleted and imported again is the same person.
        select coalesce(a.finished_at, a.begun_at)
        from public.sms_send_attempts a
        where a.number_key = smsretry.number_key(cap_reached_at.business_id, cap_reached_at.phone)
          and coalesce(a.finished_at, a.begun_at) > cap_reached_at.since
          and coalesce(a.outcome, 'in_doubt') in ('accepted', 'in_doubt')
        union all
        select coalesce(l.updated_at, l.created_at)
        from person p
        join public.send_logs l on l.customer_id = p.id
        where coalesce(l.updated_at, l.created_at) > cap_reached_at.since
          and l.channel = 'sms' and smsretry.is_sent(l.provider_message_id, l.status::text)
          and not exists (select 1 from public.sms_retry_queue q
                          join public.sms_send_attempts a on a.retry_id = q.id
                          where q.send_log_id = l.id and coalesce(a.outcome, 'in_doubt') in ('accepted', 'in_doubt'))
    )
    select r.at from reached r
    where r.at > cap_reached_at.since
    order by r.at desc
    offset greatest(cap_reached_at.cap, 1) - 1 limit 1
$$;

revoke all on function smsretry.cap_reached_at from public, anon, authenticated;
grant execute on function smsretry.cap_reached_at to service_role;

-- ======== schemas/39_begin_for_application.sql ========
-- The application's own processor claimed this row and fell silent. It begins nothing, so its claim counts as a send that
-- was begun when it was claimed, to whom and with what the rows say now. Likewise where a backup forgot the send.
create or replace function smsretry.begin_for_application(retry public.sms_retry_queue)
returns public.sms_retry_queue language plpgsql set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
begin
    retry.attempt_id := gen_random_uuid();
    retry.begun_at := retry.claimed_at;
    insert into public.sms_send_attempts (
        id, retry_id, attempt_number, claim_no, begun_at, number_key, sent_to, sent_body,
        consent_status, consent_at, consent_source)
    select retry.attempt_id, retry.id, retry.attempt_count + 1, retry.claim_no, retry.claimed_at,
           smsretry.number_key(retry.business_id, c.phone), c.phone, left(l.subject, 1601),
           c.sms_consent_status, c.sms_consent_at, c.sms_consent_source
    from (select 1) one
    left join public.customers c on c.id = retry.customer_id
    left join public.send_logs l on l.id = retry.send_log_id;
    return retry;
end
$$;

revoke all on function smsretry.begin_for_application from public, anon, authenticated;
grant execute on function smsretry.begin_for_application to service_role;

-- ======== schemas/39_is_anothers.sql ========
-- Whether a Twilio message belongs to another text than this one: to another attempt, or to another send log, such as one
-- that the application sent by itself.
create or replace function smsretry.is_anothers(sid text, attempt_id uuid, send_log_id uuid)
returns boolean language sql stable set search_path = pg_catalog, pg_temp as $$
    select exists (select 1 from public.sms_send_attempts a
                   where a.twilio_sid = is_anothers.sid and a.id is distinct from is_anothers.attempt_id)
        or exists (select 1 from public.send_logs l
                   where l.provider_message_id ->> 'twilio_sid' = is_anothers.sid
                     and l.id is distinct from is_anothers.send_log_id)
$$;

revoke all on function smsretry.is_anothers from public, anon, authenticated;
grant execute on function smsretry.is_anothers to service_role;

-- ======== schemas/39_keep_scheduled.sql ========
-- A scheduled send that could not be queued, for a reason that is not its own, waits: held, if somebody must mend it. It is
-- held for life at most, and not beyond its use. The caller holds the row locked.
--   result: held | later | cancelled
-- A trigger or a constraint of the application's may refuse even this. Then the row stays as it is, and the others go on.
create or replace function smsretry.keep_scheduled(
    send public.scheduled_sends, trouble text, life interval, look_at timestamptz, at timestamptz,
    out result text, out why text
)
language plpgsql set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
begin
    why := keep_scheduled.trouble;
    result := case when why is null then 'later' else 'held' end;
    if result = 'held' and keep_scheduled.send.held_since + keep_scheduled.life <= keep_scheduled.at then
        result := 'cancelled';
        why := 'Expired before it could be sent. ' || why;
    end if;
    update public.scheduled_sends s
    set status = case keep_scheduled.result when 'cancelled' then 'cancelled' else s.status end,
        why = case keep_scheduled.result when 'later' then s.why else left(keep_scheduled.why, 2000) end,
        held_since = case keep_scheduled.result when 'held' then coalesce(s.held_since, keep_scheduled.at)
                                                when 'later' then s.held_since end,
        look_at = case when keep_scheduled.result <> 'cancelled' then keep_scheduled.look_at end
    where s.id = keep_scheduled.send.id;
exception when others then
    raise warning 'Scheduled send % could not be changed: %', keep_scheduled.send.id, sqlstate;
    result := 'held';
end
$$;

revoke all on function smsretry.keep_scheduled from public, anon, authenticated;
grant execute on function smsretry.keep_scheduled to service_role;

-- ======== schemas/39_may_have_arrived.sql ========
-- Whether a text may be on its phone, or may still get there, by another message than this attempt's: one that is under way
-- or in doubt, or one that Twilio accepted and whose delivery did not fail. Such a text is never sent again.
create or replace function smsretry.may_have_arrived(send_log_id uuid, but_for uuid)
returns boolean language sql stable set search_path = pg_catalog, pg_temp as $$
    select exists (
        select 1 from public.sms_send_attempts a
        -- An array, so that an index finds them whatever is known of the tables.
        where a.retry_id = any (array(
                select q.id from public.sms_retry_queue q where q.send_log_id = may_have_arrived.send_log_id))
          and a.id is distinct from may_have_arrived.but_for
          and (coalesce(a.outcome, 'in_doubt') = 'in_doubt'
               or a.outcome = 'accepted' and smsretry.delivery_rank(a.delivery_status) is distinct from 6))
$$;

revoke all on function smsretry.may_have_arrived from public, anon, authenticated;
grant execute on function smsretry.may_have_arrived to service_role;

-- ======== schemas/39_queue_scheduled.sql ========
-- Make the text of a scheduled send: its send log and its row in the queue, or say why there can be none. The caller holds
-- the row locked. The send log has the row's own id, so there is one text at most, whatever happens to the row later.
--   result: queued | cancelled | failed
create or replace function smsretry.queue_scheduled(
    send public.scheduled_sends, at timestamptz, out result text, out why text, out retry_id uuid
)
language plpgsql set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
begin
    result := 'failed';
    why := case
        when not exists (select 1 from public.customers c where c.id = queue_scheduled.send.customer_id
                         and c.business_id = queue_scheduled.send.business_id) then 'Customer not found'
        when coalesce(btrim(queue_scheduled.send.body, E' \t\n\r'), '') = '' then 'Text is empty: scheduled_sends.body holds none'
        when queue_scheduled.send.not_after <= queue_scheduled.at then 'Expired before it could be sent'
    end;
    if why like 'Expired%' then
        result := 'cancelled';
    end if;
    if why is null then
        insert into public.send_logs (id, business_id, customer_id, channel, subject, created_at, updated_at)
        select queue_scheduled.send.id, queue_scheduled.send.business_id, queue_scheduled.send.customer_id, 'sms',
               queue_scheduled.send.body, queue_scheduled.at, queue_scheduled.at
        where not exists (select 1 from public.send_logs l where l.id = queue_scheduled.send.id);
        if exists (select 1 from public.send_logs l
                   where l.id = queue_scheduled.send.id and l.business_id = queue_scheduled.send.business_id
                     and l.customer_id = queue_scheduled.send.customer_id and l.subject = queue_scheduled.send.body) then
            select q.retry_id into retry_id
            from public.queue_sms_retry(
                send_log_id => queue_scheduled.send.id, scheduled_for => queue_scheduled.send.scheduled_for,
                expires_in => queue_scheduled.send.not_after - queue_scheduled.at,
                message_class => queue_scheduled.send.message_class) q;
            result := 'queued';
        else
            why := 'Its id is that of another send log: schedule the text anew';
        end if;
    end if;
    update public.scheduled_sends s
    set status = queue_scheduled.result, why = queue_scheduled.why, held_since = null, look_at = null,
        send_log_id = case queue_scheduled.result when 'queued' then s.id else s.send_log_id end
    where s.id = queue_scheduled.send.id;
end
$$;

revoke all on function smsretry.queue_scheduled from public, anon, authenticated;
grant execute on function smsretry.queue_scheduled to service_role;

-- ======== schemas/39_resend.sql ========
-- An attempt in doubt is taken never to have reached Twilio, and its text is sent again. If its worker died, it costs no
-- attempt: nobody knows that the request ever left. The caller holds the row locked.
create or replace function smsretry.resend(retry public.sms_retry_queue, settled_by text, at timestamptz)
returns void language plpgsql set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
declare
    v_attempt public.sms_send_attempts;
begin
    update public.sms_send_attempts a
    set outcome = 'not_sent', finished_at = resend.at, settled_by = resend.settled_by, sent_to = null, sent_body = null
    where a.id = resend.retry.attempt_id
    returning * into v_attempt;
    if v_attempt.worker_died then
        retry.attempt_count := least(retry.attempt_count, greatest(v_attempt.attempt_number - 1, 0));
    end if;
    retry.attempt_id := null;
    retry.in_doubt_since := null;
    retry.reconcile_count := 0;
    retry.held_since := null;
    retry.why := null;
    perform smsretry.put_back(retry, resend.at, resend.at);
end
$$;

revoke all on function smsretry.resend from public, anon, authenticated;
grant execute on function smsretry.resend to service_role;

-- ======== schemas/39_send_again.sql ========
-- Twilio accepted a text and it did not arrive: its row goes back into the queue. Its send log says what is true meanwhile: it
-- waits, and has no message. The caller holds the row locked and has made sure that no other message of the text may arrive.
create or replace function smsretry.send_again(
    retry public.sms_retry_queue, attempt public.sms_send_attempts, error text, due timestamptz, at timestamptz
)
returns void language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    retry.attempt_count := greatest(retry.attempt_count, attempt.attempt_number);
    retry.last_error := send_again.error;
    retry.error_code := attempt.delivery_code;
    retry.reason := 'twilio_error';
    retry.why := null;
    retry.recover_count := 0;
    retry.reconcile_count := 0;
    perform smsretry.put_back(retry, send_again.due, send_again.at);
    update public.send_logs l
    set status = default, provider_message_id = null, error_message = left(send_again.error, 2000), updated_at = send_again.at
    where l.id = retry.send_log_id;
end
$$;

revoke all on function smsretry.send_again from public, anon, authenticated;
grant execute on function smsretry.send_again to service_role;

-- ======== schemas/39_supersede.sql ========
-- The application's own processor has claimed a text, and now queues its next try. Its claim ends here, so that the text
-- keeps one live row. It counts one attempt more than the row that is held; a row that does not is the same text, queued twice,
-- and the claim stays. A row that our workers hold is left alone.
create or replace function smsretry.supersede(send_log_id uuid, attempt_count integer)
returns void language sql set search_path = pg_catalog, pg_temp as $$
    update public.sms_retry_queue q
    set status = 'failed', last_error = coalesce(q.last_error, 'Its next try is another row'),
        claimed_at = null, claimed_by_application = false, held_since = null, updated_at = smsretry.clock()
    where q.send_log_id = supersede.send_log_id and q.status = 'processing' and q.claimed_by_application
      and q.attempt_count < supersede.attempt_count
$$;

revoke all on function smsretry.supersede from public, anon, authenticated;
grant execute on function smsretry.supersede to service_role;

-- ======== schemas/40_queue_sms_retry.sql ========
-- Queue a retry for a send log, or return the live row that it already has.
--   result: queued | already_queued | already_sent | attempts_exhausted (the send log is then failed)
-- Names of parameters are the API, here and in every function in public: PostgREST calls by name.
-- The defaults are for the application, which may call this with send_log_id alone; the package passes its own delays. A
-- null means the default: due in one minute (the first step of the backoff), as marketing. expires_in null: of use for as
-- long as the worker says, from the first moment it might have gone out. scheduled_for
-- wins over retry_in.
create or replace function public.queue_sms_retry(
    send_log_id uuid,
    reason text default null,
    attempt_count integer default 0,
    scheduled_for timestamptz default null,
    error text default null,
    retry_in interval default null,
    max_attempts integer default 3,
    expires_in interval default null,
    message_class text default null
)
returns table (retry_id uuid, result text, due_at timestamptz)
language plpgsql security invoker set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
declare
    v_now constant timestamptz := smsretry.clock();
    v_due constant timestamptz := coalesce(
        queue_sms_retry.scheduled_for, v_now + coalesce(queue_sms_retry.retry_in, interval '1 minute'));
    v_expires constant timestamptz := v_now + queue_sms_retry.expires_in;
    v_error constant text := left(queue_sms_retry.error, 2000);
    v_class constant text := coalesce(queue_sms_retry.message_class, 'marketing');
    v_log public.send_logs;
begin
    select * into v_log from public.send_logs l where l.id = queue_sms_retry.send_log_id for update;
    if not found then
        raise exception 'There is no send log %', queue_sms_retry.send_log_id
            using errcode = 'SR404', hint = 'Insert the send_logs row first, then queue its retry.';
    end if;
    if v_log.channel <> 'sms' then
        raise exception 'Send log % is of channel %, not sms', v_log.id, v_log.channel using errcode = 'SR422';
    end if;
    if v_log.customer_id is null then
        raise exception 'Send log % names no customer', v_log.id
            using errcode = 'SR422', hint = 'Set send_logs.customer_id: consent and phone number are read there.';
    end if;
    if exists (select 1 from public.customers c where c.id = v_log.customer_id and c.business_id <> v_log.business_id) then
        raise exception 'Send log % names a customer of another business', v_log.id using errcode = 'SR422';
    end if;
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
    perform smsretry.supersede(v_log.id, queue_sms_retry.attempt_count);
    for v_try in 1 .. 3 loop -- again only if somebody else inserts a row for the same text at this very moment
        return query
        select q.id, 'already_queued', q.scheduled_for
        from public.sms_retry_queue q
        where q.send_log_id = v_log.id and q.status in ('pending', 'processing');
        if found then
            return;
        end if;

        if queue_sms_retry.attempt_count >= queue_sms_retry.max_attempts then
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

revoke all on function public.queue_sms_retry from public, anon, authenticated;
grant execute on function public.queue_sms_retry to service_role;

-- ======== schemas/40_schedule_sms.sql ========
-- Plan a text for a time. It is checked like every text when its time comes: consent, permitted hours, caps. To move or to
-- cancel it, update its row in scheduled_sends.
--   result: scheduled | already_scheduled (there is one of this id already, and it stays as it is)
-- id: the caller's own name for it, with which the call may be repeated. Without it each call plans another text.
-- not_after: when the text is of no more use; null: as long after its time as any text in the queue. A time that has
-- passed means at once. message_class null: marketing. created_by: who planned it, for the application.
create or replace function public.schedule_sms(
    business_id uuid,
    customer_id uuid,
    body text,
    scheduled_for timestamptz,
    not_after timestamptz default null,
    message_class text default null,
    created_by uuid default null,
    id uuid default null
)
returns table (scheduled_id uuid, result text, due_at timestamptz)
language plpgsql security invoker set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
declare
    v_now constant timestamptz := smsretry.clock();
    v_id constant uuid := coalesce(schedule_sms.id, gen_random_uuid());
    v_class constant text := coalesce(schedule_sms.message_class, 'marketing');
    v_problem text;
    v_there public.scheduled_sends;
begin
    v_problem := case
        when schedule_sms.scheduled_for is null then 'scheduled_for is missing: when is the text to go out?'
        when (schedule_sms.scheduled_for between '2000-01-01 00:00+00' and '2100-01-01 00:00+00') is not true
            then 'scheduled_for must be a time in this century'
        when schedule_sms.not_after not between '2000-01-01 00:00+00' and '2100-01-01 00:00+00'
            then 'not_after must be a time in this century'
        when schedule_sms.not_after <= greatest(schedule_sms.scheduled_for, v_now)
            then 'not_after must come after scheduled_for, and after now'
        when coalesce(btrim(schedule_sms.body, E' \t\n\r'), '') = '' then 'body is empty'
        when length(schedule_sms.body) > 1600 then 'body is longer than 1600 characters, the most that Twilio takes'
        when v_class not in ('marketing', 'transactional') then 'message_class must be marketing or transactional'
    end;
    if v_problem is not null then
        raise exception '%', v_problem using errcode = 'SR422';
    end if;
    if not exists (select 1 from public.customers c
                   where c.id = schedule_sms.customer_id and c.business_id = schedule_sms.business_id) then
        raise exception 'There is no customer % at business %', schedule_sms.customer_id, schedule_sms.business_id
            using errcode = 'SR404', hint = 'Consent and phone number are read there: insert the customer first.';
    end if;

    insert into public.scheduled_sends (
        id, business_id, customer_id, body, scheduled_for, not_after, message_class, status, created_by, created_at, updated_at)
    values (v_id, schedule_sms.business_id, schedule_sms.customer_id, schedule_sms.body, schedule_sms.scheduled_for,
            schedule_sms.not_after, v_class, 'scheduled', schedule_sms.created_by, v_now, v_now)
    on conflict (id) do nothing
    returning * into v_there;
    if v_there.id is not null then
        return query select v_there.id, 'scheduled', v_there.scheduled_for;
        return;
    end if;
    select * into v_there from public.scheduled_sends s where s.id = v_id;
    if (v_there.business_id, v_there.customer_id, v_there.body)
        is distinct from (schedule_sms.business_id, schedule_sms.customer_id, schedule_sms.body) then
        raise exception 'Scheduled send % is another text', v_id
            using errcode = 'SR409', hint = 'Give each text an id of its own.';
    end if;
    return query select v_there.id, 'already_scheduled', v_there.scheduled_for;
end
$$;

revoke all on function public.schedule_sms from public, anon, authenticated;
grant execute on function public.schedule_sms to service_role;

-- ======== schemas/41_record_inbound_sms.sql ========
-- For the application's webhook: somebody texted one of our numbers (Twilio's From, OptOutType, Body and MessageSid). STOP opts the
-- number out at every business, because Twilio blocks it for the sender that they share. START takes back what STOP did, or
-- Twilio's refusal, and nothing else: an opt-out by telephone stays, and a consent that was never given is not made up.
-- HELP, and what is no keyword, changes nothing. Without Advanced Opt-Out there is no OptOutType; then Twilio's default
-- keywords count. Recorded once a message, so that an old webhook that is sent again changes nothing.
--   answer: opted_out | opted_in | nothing | already_recorded · customers: how many it concerns · cancelled: texts that waited
create or replace function public.record_inbound_sms(
    phone text, twilio_sid text, opt_out_type text default null, body text default null
)
returns table (answer text, customers integer, cancelled integer)
language plpgsql security invoker set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
declare
    v_word constant text := upper(btrim(record_inbound_sms.body, E' \t\r\n'));
    v_now constant timestamptz := smsretry.clock();
    v_said text := upper(btrim(record_inbound_sms.opt_out_type));
    v_business uuid;
    v_count integer;
begin
    if (record_inbound_sms.twilio_sid ~ '^(SM|MM)[0-9a-fA-F]{32}$') is not true or record_inbound_sms.phone is null then
        raise exception 'phone must be given, and twilio_sid be a message SID (SM or MM and 32 hexadecimal digits)'
            using errcode = 'SR422';
    end if;
    if coalesce(v_said, '') = '' then
        v_said := case
            when v_word in ('STOP', 'STOPALL', 'UNSUBSCRIBE', 'END', 'QUIT', 'CANCEL', 'REVOKE', 'OPTOUT') then 'STOP'
            when v_word in ('START', 'UNSTOP', 'YES') then 'START' end;
    end if;
    answer := 'nothing';
    customers := 0;
    cancelled := 0;
    if (v_said in ('STOP', 'START')) is not true then
        return next;
        return;
    end if;
    insert into smsretry.inbound_texts (twilio_sid, heard_at, said)
    values (record_inbound_sms.twilio_sid, v_now, v_said) on conflict do nothing;
    if not found then
        answer := 'already_recorded';
    elsif v_said = 'STOP' then
        answer := 'opted_out';
        select s.customers, s.cancelled into customers, cancelled
        from smsretry.set_consent(null, null, record_inbound_sms.phone, 'opted_out', 'inbound_stop', v_now) s;
    else
        answer := 'opted_in';
        for v_business in
            select c.business_id from public.customers c
            where c.phone = record_inbound_sms.phone and c.sms_consent_status::text = 'opted_out'
            group by c.business_id
            having bool_and(coalesce(c.sms_consent_source::text, '') ~ '^(inbound_stop|twilio_[0-9]+)$')
            order by c.business_id
        loop
            select s.customers into v_count
            from smsretry.set_consent(v_business, null, record_inbound_sms.phone, 'opted_in', 'inbound_start', v_now) s;
            customers := customers + v_count;
        end loop;
    end if;
    return next;
end
$$;

revoke all on function public.record_inbound_sms from public, anon, authenticated;
grant execute on function public.record_inbound_sms to service_role;

-- ======== schemas/41_record_sms_consent.sql ========
-- For people: a customer says stop, or yes, by telephone or letter. An opt-out without a business is from all of them;
-- consent is given to one.
create or replace function public.record_sms_consent(
    phone text, consent text, source text, business_id uuid default null
)
returns table (customers integer, cancelled integer)
language plpgsql security invoker set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
begin
    if (record_sms_consent.consent in ('opted_in', 'opted_out')) is not true
        or (record_sms_consent.phone ~ '^[+][1-9][0-9]{6,14}$') is not true
        or coalesce(btrim(record_sms_consent.source), '') = '' then
        raise exception 'phone must be E.164, consent opted_in or opted_out, and source must say how it is known'
            using errcode = 'SR422';
    end if;
    if record_sms_consent.consent = 'opted_in' and record_sms_consent.business_id is null then
        raise exception 'business_id is missing: consent is given to one business' using errcode = 'SR422';
    end if;
    select s.customers, s.cancelled into customers, cancelled from smsretry.set_consent(
        record_sms_consent.business_id, null, record_sms_consent.phone, record_sms_consent.consent,
        record_sms_consent.source, smsretry.clock()) s;
    if customers = 0 then
        raise exception 'No customer has this number' using errcode = 'SR404',
            hint = 'Check it against customers.phone, where numbers are stored as E.164. Nothing was recorded.';
    end if;
    return next;
end
$$;

revoke all on function public.record_sms_consent from public, anon, authenticated;
grant execute on function public.record_sms_consent to service_role;

-- ======== schemas/42_before_insert.sql ========
-- A row that the application inserts: a text that its own processor has claimed keeps one live row, and an error of any
-- length is kept to what is useful.
-- security definer, because a tenant may insert rows and update none. If row level security then refuses the row, what
-- was done here is undone with it.
create or replace function smsretry.before_insert()
returns trigger language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    if new.status = 'pending' then
        perform smsretry.supersede(new.send_log_id, new.attempt_count);
    end if;
    new.last_error := left(new.last_error, 2000);
    return new;
end
$$;

revoke all on function smsretry.before_insert from public, anon, authenticated;

-- ======== schemas/42_scheduled_send_changed.sql ========
-- Somebody changes a scheduled send. While it waits, it may be moved, changed or cancelled at will. Once it is queued, to
-- move or to cancel it does the same to its text, or is refused (SR409) if the text's send has begun or it has ended.
-- security definer, because an owner may change its scheduled sends and not the queue.
create or replace function smsretry.scheduled_send_changed()
returns trigger language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    v_now constant timestamptz := smsretry.clock();
    v_text public.sms_retry_queue;
begin
    new.updated_at := v_now;
    if new.status = 'cancelled' and old.status <> 'cancelled' then
        new.held_since := null;
        new.why := case when new.why is distinct from old.why then new.why end;
        new.why := left(coalesce(new.why, 'Cancelled by the application'), 2000);
    end if;
    if old.status <> 'queued' then
        if new.status = 'scheduled' and old.status <> 'scheduled' then
            new.why := null; -- wanted after all
        end if;
        if (new.body, new.customer_id, new.scheduled_for, new.not_after)
            is distinct from (old.body, old.customer_id, old.scheduled_for, old.not_after) then
            new.look_at := null; -- looked at anew
        end if;
        return new;
    end if;
    if (new.status, new.scheduled_for, new.not_after, new.body, new.business_id, new.customer_id, new.message_class, new.send_log_id)
        is not distinct from
       (old.status, old.scheduled_for, old.not_after, old.body, old.business_id, old.customer_id, old.message_class, old.send_log_id) then
        return new;
    end if;
    if new.status not in ('queued', 'cancelled')
        or (new.body, new.business_id, new.customer_id, new.message_class, new.send_log_id)
            is distinct from (old.body, old.business_id, old.customer_id, old.message_class, old.send_log_id) then
        raise exception 'Scheduled send % is queued: it can be moved or cancelled, and nothing else', old.id
            using errcode = 'SR409', hint = 'Cancel it and schedule another.';
    end if;
    select q.* into v_text from public.sms_retry_queue q
    where q.send_log_id = old.send_log_id and q.business_id = old.business_id and q.status in ('pending', 'processing')
    for update;
    if v_text.id is null or v_text.status <> 'pending' or v_text.in_doubt_since is not null then
        raise exception 'It is too late to change scheduled send %: its text %', old.id, case
                when v_text.id is null then 'has ended'
                when v_text.in_doubt_since is not null then 'may have gone out, and evidence is looked for'
                else 'is with a worker at this moment' end
            using errcode = 'SR409', hint = 'explain_sms tells what became of it, by its send log.';
    end if;
    if new.status = 'cancelled' then
        perform smsretry.close_row(v_text, 'cancelled', new.why, null, v_now);
    else
        update public.sms_retry_queue q
        set scheduled_for = new.scheduled_for, expires_at = new.not_after, held_since = null, why = null, reason = null,
            updated_at = v_now
        where q.id = v_text.id;
    end if;
    return new;
end
$$;

revoke all on function smsretry.scheduled_send_changed from public, anon, authenticated;

-- ======== schemas/43_keep_suppression.sql ========
-- An opt-out is of a number at a business, whoever records it on whichever of its customers' rows, and outlives the row.
-- It is lifted by an opt-in that was recorded later (sms_consent_at), and by nothing else: a row imported after the
-- opt-out says nothing new.
-- security definer, because tenants write customers and may not write suppressions. It never refuses a write of theirs.
create or replace function smsretry.keep_suppression()
returns trigger language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    v_key constant bytea := smsretry.number_key(new.business_id, new.phone);
    v_since timestamptz := coalesce(new.sms_consent_at, smsretry.clock());
begin
    -- Only the status was changed: the time is still that of the consent which ends here.
    if tg_op = 'UPDATE' and old.sms_consent_status is distinct from new.sms_consent_status
        and old.sms_consent_at is not distinct from new.sms_consent_at then
        v_since := smsretry.clock();
    end if;
    if new.sms_consent_status::text = 'opted_out' then
        insert into smsretry.suppressions (number_key, business_id, since, source)
        values (v_key, new.business_id, v_since, left(new.sms_consent_source, 200))
        on conflict (number_key) do update set since = excluded.since, source = excluded.source
        where suppressions.since < excluded.since;
    elsif new.sms_consent_status::text = 'opted_in' then
        delete from smsretry.suppressions s where s.number_key = v_key and s.since < new.sms_consent_at;
    end if;
    return new;
exception when others then
    raise warning 'The consent of customer % could not be kept for its number: %', new.id, sqlstate;
    return new;
end
$$;

revoke all on function smsretry.keep_suppression from public, anon, authenticated;

-- ======== schemas/44_triggers.sql ========
-- What happens on writes that are not ours.

drop trigger if exists smsretry_before_insert on public.sms_retry_queue;
create trigger smsretry_before_insert
    before insert on public.sms_retry_queue for each row execute function smsretry.before_insert();

drop trigger if exists smsretry_scheduled_send_changed on public.scheduled_sends;
create trigger smsretry_scheduled_send_changed
    before update on public.scheduled_sends for each row execute function smsretry.scheduled_send_changed();

drop trigger if exists smsretry_keep_suppression on public.customers;
create trigger smsretry_keep_suppression
    after insert or update of phone, sms_consent_status, sms_consent_at on public.customers
    for each row when (new.phone is not null) execute function smsretry.keep_suppression();

-- Who had opted out before there was this trigger.
insert into smsretry.suppressions (number_key, business_id, since, source)
select distinct on (1) smsretry.number_key(c.business_id, c.phone), c.business_id,
       coalesce(c.sms_consent_at, smsretry.clock()), left(c.sms_consent_source, 200)
from public.customers c
where c.sms_consent_status::text = 'opted_out' and c.phone is not null
order by 1, c.sms_consent_at desc nulls last
on conflict do nothing;

-- ======== schemas/50_businesses_from.sql ========
-- Businesses that have a text due, by id, from one id up to another: at most so many of them, and at most 500 looked at.
-- One index probe a business, instead of reading every row of the busiest one.
create or replace function smsretry.businesses_from(first uuid, before uuid, at timestamptz, most integer)
returns setof uuid language sql stable set search_path = pg_catalog, pg_temp as $$
    with recursive business (id, place) as (
        (select q.business_id, 1 from public.sms_retry_queue q
         where q.status = 'pending' and q.in_doubt_since is null and q.business_id >= businesses_from.first
         order by q.business_id limit 1)
        union all
        select (select q.business_id from public.sms_retry_queue q
                where q.status = 'pending' and q.in_doubt_since is null and q.business_id > b.id
                order by q.business_id limit 1), b.place + 1
        from business b where b.id is not null and b.place < 500
    )
    select b.id from business b
    where b.id is not null and (businesses_from.before is null or b.id < businesses_from.before)
      and exists (select 1 from public.sms_retry_queue q
                  where q.status = 'pending' and q.in_doubt_since is null and q.business_id = b.id
                    and q.scheduled_for <= businesses_from.at and q.recover_count < 2)
    limit businesses_from.most
$$;

revoke all on function smsretry.businesses_from from public, anon, authenticated;
grant execute on function smsretry.businesses_from to service_role;

-- ======== schemas/50_claim_due_sms_retries.sql ========
-- Take up to limit_count due rows, business by business in turns: each one's first due row, then each one's second. Within
-- a business, transactional texts come first, then those whose window closes within the hour. limit_count is clamped to 500, because PostgREST truncates answers at 1000.
-- Rows in doubt are not taken: the caller sends what it gets. Nor are rows under suspicion: claim_suspect_sms_retry.
-- claimed_at in the answer is the database's clock.
-- begins: whether the caller begins each send with begin_sms_attempt. The application's own processor does not; a claim of
-- its is a send that may have been made, and comes into doubt when the processor dies.
create or replace function public.claim_due_sms_retries(limit_count integer default 50, begins boolean default false)
returns setof smsretry.claimed_retry
language plpgsql security invoker set search_path = pg_catalog, pg_temp
-- A generic plan does not know the limit, expects thousands of candidates, and would read the whole queue to join them.
set enable_hashjoin = off set enable_mergejoin = off as $$
#variable_conflict use_column
declare
    v_now constant timestamptz := smsretry.clock();
    v_limit constant integer := least(greatest(coalesce(limit_count, 50), 0), 500);
    -- Several times the limit, so that rows which other claimers hold locked can be passed over.
    v_peek constant integer := greatest(4 * v_limit, 200);
    v_soon constant timestamptz := v_now + interval '1 hour';
    v_candidates uuid[];
    v_businesses uuid[];
    v_start uuid;
    v_ids uuid[];
begin
    v_candidates := array(
        select q.id from public.sms_retry_queue q
        where q.status = 'pending' and q.in_doubt_since is null and q.scheduled_for <= v_now and q.recover_count < 2
        order by q.scheduled_for, q.id
        limit v_peek);
    if cardinality(v_candidates) = 0 then
        return;
    end if;
    if cardinality(v_candidates) = v_peek then
        -- There may be more, of businesses that are not among them. They are walked from a place that is another for each
        -- claim, so that each has its turn where they are too many to walk.
        v_start := md5(v_now::text)::uuid;
        v_businesses := array(select b from smsretry.businesses_from(v_start, null, v_now, 2 * v_limit) b);
        v_businesses := v_businesses || array(
            select b from smsretry.businesses_from(
                '00000000-0000-0000-0000-000000000000', v_start, v_now, 2 * v_limit - cardinality(v_businesses)) b);
        v_candidates := v_candidates || array(
            select d.id from unnest(v_businesses) as b (id)
            cross join lateral (
                (select q.id from public.sms_retry_queue q
                 where q.status = 'pending' and q.in_doubt_since is null and q.message_class = 'transactional'
                   and q.business_id = b.id and q.scheduled_for <= v_now and q.recover_count < 2
                 order by q.scheduled_for, q.id limit 4 * v_limit / greatest(cardinality(v_businesses), 1) + 1)
                union
                (select q.id from public.sms_retry_queue q
                 where q.status = 'pending' and q.in_doubt_since is null
                   and q.business_id = b.id and q.window_closes_at between v_now and v_soon and q.scheduled_for <= v_now and q.recover_count < 2
                 order by q.window_closes_at, q.id limit 4 * v_limit / greatest(cardinality(v_businesses), 1) + 1)
                union
                (select q.id from public.sms_retry_queue q
                 where q.status = 'pending' and q.in_doubt_since is null
                   and q.business_id = b.id and q.scheduled_for <= v_now and q.recover_count < 2
                 order by q.scheduled_for, q.id limit 4 * v_limit / greatest(cardinality(v_businesses), 1) + 1)
            ) d);
    end if;
    -- Materialized and apart from the update: `update … where id in (select … limit n for update skip locked)` may run its
    -- subquery once a row on a table without statistics, and then claims far more than n.
    with candidate as materialized (
        select d.id, d.scheduled_for, d.closes_soon, row_number() over (
                   partition by d.business_id order by d.message_class desc, d.closes_soon, d.scheduled_for, d.id) as turn
        from (
            select q.id, q.business_id, q.message_class, q.scheduled_for,
                   case when q.window_closes_at between v_now and v_soon then q.window_closes_at end as closes_soon
            from (select distinct c.id from unnest(v_candidates) as c (id)) c
            join public.sms_retry_queue q on q.id = c.id
        ) d
    ),
    due as materialized (
        select q.id
        from candidate c
        join public.sms_retry_queue q on q.id = c.id
        where q.status = 'pending' and q.in_doubt_since is null and q.scheduled_for <= v_now
        order by c.turn, c.closes_soon, c.scheduled_for, c.id
        limit v_limit
        for update of q skip locked
    )
    select array_agg(d.id) into v_ids from due d;

    return query select * from smsretry.take(v_ids, v_now, begins is not true);
end
$$;

revoke all on function public.claim_due_sms_retries from public, anon, authenticated;
grant execute on function public.claim_due_sms_retries to service_role;

-- ======== schemas/50_lease_sms_sender.sql ========
-- Take some of a sender's time: so many segments, at so many a second. Returns in how many seconds they begin: 0 if the
-- sender is free. What is not used is lost. More than an hour ahead nothing is given away: a rate was set wrong and is mended.
create or replace function public.lease_sms_sender(sender text, segments integer, per_second double precision)
returns double precision language plpgsql security invoker set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
declare
    v_now constant timestamptz := smsretry.clock();
    v_takes interval;
    v_ends timestamptz;
begin
    if (lease_sms_sender.per_second > 0) is not true then
        raise exception 'per_second must be above 0' using errcode = 'SR422';
    end if;
    v_takes := make_interval(secs => greatest(lease_sms_sender.segments, 1) / lease_sms_sender.per_second);
    insert into smsretry.sender_time as s (sender, free_at) values (lease_sms_sender.sender, v_now + v_takes)
    on conflict (sender) do update
        set free_at = case when s.free_at > v_now + interval '1 hour' then v_now else greatest(s.free_at, v_now) end + v_takes
    returning s.free_at into v_ends;
    return extract(epoch from v_ends - v_takes - v_now);
end
$$;

revoke all on function public.lease_sms_sender from public, anon, authenticated;
grant execute on function public.lease_sms_sender to service_role;

-- ======== schemas/50_start_sms_run.sql ========
-- A run begins. Returns the earlier runs that never finished and are told of now for the first time: what their sends came
-- to. stale_minutes: after how long a silent run counts as interrupted. May be repeated; then it tells of none.
create or replace function public.start_sms_run(run_id uuid, stale_minutes integer default 10)
returns table (id uuid, started_at timestamptz, accepted bigint, in_doubt bigint, refused bigint)
language plpgsql security invoker set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
declare
    v_now constant timestamptz := smsretry.clock();
begin
    insert into smsretry.runs (id, started_at) values (start_sms_run.run_id, v_now) on conflict do nothing;
    return query
    with silent as (
        update smsretry.runs r set interrupted_at = v_now
        where r.id = any (array(
            select u.id from smsretry.runs u
            where u.finished_at is null and u.interrupted_at is null
              and u.started_at < v_now - make_interval(mins => greatest(coalesce(start_sms_run.stale_minutes, 10), 1))
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

revoke all on function public.start_sms_run from public, anon, authenticated;
grant execute on function public.start_sms_run to service_role;

-- ======== schemas/51_claim_sms_retry.sql ========
-- Claim one pending row by its id, due or not: for the caller who has just queued it and sends it at once. No row: it is
-- not pending, or in doubt.
create or replace function public.claim_sms_retry(retry_id uuid)
returns setof smsretry.claimed_retry
language plpgsql security invoker set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
begin
    perform 1 from public.sms_retry_queue q
    where q.id = claim_sms_retry.retry_id and q.status = 'pending' and q.in_doubt_since is null
    for update;
    if found then
        return query select * from smsretry.take(array[claim_sms_retry.retry_id], smsretry.clock());
    end if;
end
$$;

revoke all on function public.claim_sms_retry from public, anon, authenticated;
grant execute on function public.claim_sms_retry to service_role;

-- ======== schemas/51_claim_suspect_sms_retry.sql ========
-- Take one due row whose claims have died more than once, before its send began or while it was in doubt, or none. It may
-- be what kills its worker, so it is claimed alone. The one that died least often goes first.
create or replace function public.claim_suspect_sms_retry()
returns setof smsretry.claimed_retry
language plpgsql security invoker set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
declare
    v_now constant timestamptz := smsretry.clock();
    v_id uuid;
begin
    select q.id into v_id from public.sms_retry_queue q
    where q.status = 'pending' and q.recover_count >= 2 and q.scheduled_for <= v_now
    order by q.recover_count, q.scheduled_for
    limit 1
    for update skip locked;
    if found then
        return query select * from smsretry.take(array[v_id], v_now);
    end if;
end
$$;

revoke all on function public.claim_suspect_sms_retry from public, anon, authenticated;
grant execute on function public.claim_suspect_sms_retry to service_role;

-- ======== schemas/51_next_sms_due.sql ========
-- In how many seconds a text, or a look for evidence, is due: 0 if one is, null if none waits. Rows under suspicion do not
-- count: they are claimed alone, when a run has done everything else.
create or replace function public.next_sms_due()
returns double precision language sql stable security invoker set search_path = pg_catalog, pg_temp as $$
    select extract(epoch from greatest(next.due_at - smsretry.clock(), interval '0'))::double precision
    from (select least(
        (select q.scheduled_for from public.sms_retry_queue q
         where q.status = 'pending' and q.in_doubt_since is null and q.recover_count < 2
         order by q.scheduled_for limit 1),
        (select q.scheduled_for from public.sms_retry_queue q
         where q.status = 'pending' and q.in_doubt_since is not null and q.recover_count < 2
         order by q.scheduled_for limit 1)) as due_at) next
    where next.due_at is not null
$$;

revoke all on function public.next_sms_due from public, anon, authenticated;
grant execute on function public.next_sms_due to service_role;

-- ======== schemas/51_queue_scheduled_sms.sql ========
-- Make the texts of scheduled sends whose time comes within `ahead`, so that they wait in the queue when it comes. At most
-- limit_count of them (500 at the most), the oldest first, and business by business in turns. Each is one transaction's
-- work and a subtransaction of its own: send log, queue row and status, or none of them. May be repeated.
-- Turns are taken among the oldest 4 × limit_count: callers go on until fewer come back, so a flood of one business's
-- delays another's by seconds, and they are queued ahead by more.
--   result: queued | cancelled | failed (why says the reason) | held (waits for what a person can mend; why says what)
--     | later (something of its business is locked at this moment)
-- life: how long a text may be held.
create or replace function public.queue_scheduled_sms(
    limit_count integer default 200,
    ahead interval default interval '2 minutes',
    life interval default interval '48 hours'
)
returns table (scheduled_id uuid, business_id uuid, customer_id uuid, result text, why text, retry_id uuid)
language plpgsql security invoker set search_path = pg_catalog, pg_temp
-- Somebody else's long transaction may hold the business locked. Then its texts wait, and not the others.
set lock_timeout = '1s' as $$
#variable_conflict use_column
declare
    v_now constant timestamptz := smsretry.clock();
    v_limit constant integer := least(greatest(coalesce(limit_count, 200), 0), 500);
    v_until constant timestamptz := v_now + least(greatest(coalesce(ahead, interval '2 minutes'), interval '0'), interval '1 hour');
    v_send public.scheduled_sends;
    v_busy uuid[] := '{}';
    v_state text;
    v_table text;
    v_column text;
    v_rule text;
begin
    for v_send in
        with oldest as materialized (
            select n.* from (
                select s.id, s.business_id, coalesce(s.look_at, s.scheduled_for) as due
                from public.scheduled_sends s
                where s.status = 'scheduled' and coalesce(s.look_at, s.scheduled_for) <= v_until
                order by coalesce(s.look_at, s.scheduled_for), s.id
                limit 2000 -- a number, so that a plan made without knowing v_limit walks the index, too
            ) n
            limit 4 * v_limit
        ),
        candidate as materialized (
            select o.id, o.due, row_number() over (partition by o.business_id order by o.due, o.id) as turn from oldest o
        )
        select s.* from candidate c
        join public.scheduled_sends s on s.id = c.id
        where s.status = 'scheduled' and coalesce(s.look_at, s.scheduled_for) <= v_until
        order by c.turn, c.due, c.id
        limit v_limit
        for update of s skip locked
    loop
        scheduled_id := v_send.id;
        business_id := v_send.business_id;
        customer_id := v_send.customer_id;
        retry_id := null;
        v_state := case when v_send.business_id = any (v_busy) then '55P03' end;
        if v_state is null then
            begin
                select q.result, q.why, q.retry_id into result, why, retry_id
                from smsretry.queue_scheduled(v_send, v_now) q;
            exception when others then
                get stacked diagnostics v_state = returned_sqlstate, v_table = table_name, v_column = column_name,
                    v_rule = constraint_name;
            end;
        end if;
        if v_state in ('55P03', '40P01', '40001') then
            v_busy := v_busy || v_send.business_id;
            select k.result, k.why into result, why
            from smsretry.keep_scheduled(v_send, null, life, v_until + interval '30 seconds', v_now) k;
        elsif v_state is not null then
            -- No message of the database's: it may quote the row.
            select k.result, k.why into result, why
            from smsretry.keep_scheduled(
                v_send, 'Its text cannot be made: ' || concat_ws(', ', v_state, nullif(v_table, ''), nullif(v_column, ''),
                nullif(v_rule, '')) || '. Look at what send_logs and scheduled_sends require beyond smsretry''s columns',
                life, v_until + interval '13 minutes', v_now) k;
        end if;
        return next;
    end loop;
end
$$;

revoke all on function public.queue_scheduled_sms from public, anon, authenticated;
grant execute on function public.queue_scheduled_sms to service_role;

-- ======== schemas/52_begin_sms_attempt.sql ========
-- Just before the request leaves: may it still go? The transaction that reads consent and counts the number's texts also
-- writes the attempt. May be repeated with the same attempt_id.
--   answer: go
--     | lost     another worker has the row
--     | changed  the customer's number, a zone or the business's hours are no longer what the decision was made from, or
--                the customer or the send log is gone: decide again
--     | closed   send_before has come: decide again
--     | capped   the number has had cap texts since cap_since; there is room when the one of reached_at no longer counts
--     | ended    the row is finished, and why says for what reason
-- The cap's span is the caller's choice: a moment 24 hours ago, or the start of a calendar day. decided_at is the
-- database's clock. What is sent (phone, body, sent_by) is kept until it is known what became of it. life: how long the
-- text is of use, if this is the first moment it might go out. run_id: the run that asks.
create or replace function public.begin_sms_attempt(
    retry_id uuid,
    claim_no bigint,
    attempt_id uuid,
    send_before timestamptz,
    quiet_hours_rule text,
    first_send boolean default false,
    cap integer default null,
    cap_since timestamptz default null,
    phone text default null,
    body text default null,
    sent_by text default null,
    decided_by text default null,
    life interval default null,
    run_id uuid default null
)
returns table (answer text, why text, decided_at timestamptz, reached_at timestamptz)
language plpgsql security invoker set search_path = pg_catalog, pg_temp
-- Somebody else's long transaction may hold the customer or the send log locked. Then this text waits, and not the worker.
set lock_timeout = '2s' as $$
#variable_conflict use_column
declare
    v_row public.sms_retry_queue;
    v_now timestamptz;
    v_customer public.customers;
    v_business public.businesses;
    v_log public.send_logs;
    v_key bytea;
    v_refusal text;
    v_reached_at timestamptz;
begin
    if current_setting('smsretry.wait', true) <> '' then -- in a group the others wait, too
        perform set_config('lock_timeout', current_setting('smsretry.wait'), true);
    end if;
    if begin_sms_attempt.claim_no is null or begin_sms_attempt.attempt_id is null or begin_sms_attempt.send_before is null then
        raise exception 'claim_no, attempt_id and send_before must be given: without them nothing is checked'
            using errcode = 'SR422';
    end if;
    if begin_sms_attempt.cap is not null and begin_sms_attempt.cap_since is null then
        raise exception 'cap_since is missing: a cap counts the texts since a moment' using errcode = 'SR422';
    end if;
    -- One at a time to a number, capped or not, or two texts would each be counted without the other.
    perform smsretry.lock_number(q.business_id, begin_sms_attempt.phone)
    from public.sms_retry_queue q where q.id = begin_sms_attempt.retry_id;
    v_row := smsretry.held(begin_sms_attempt.retry_id, begin_sms_attempt.claim_no);
    v_now := smsretry.clock(); -- after the locks: waiting for them took time
    if v_row.id is null or v_row.in_doubt_since is not null
        or v_row.begun_at is not null and v_row.attempt_id <> begin_sms_attempt.attempt_id then
        return query select 'lost', null::text, v_now, null::timestamptz;
        return;
    end if;
    if v_row.begun_at is not null then -- the answer to the same call was lost on its way
        return query select 'go', null::text, v_now, null::timestamptz;
        return;
    end if;

    -- `for share`: an opt-out either is seen here or waits until this send is begun. None slips between.
    select * into v_customer from public.customers c
    where c.id = v_row.customer_id and c.business_id = v_row.business_id for share;
    if begin_sms_attempt.phone is null then
        perform smsretry.lock_number(v_row.business_id, v_customer.phone);
    end if;
    v_key := smsretry.number_key(v_row.business_id, v_customer.phone);
    select * into v_business from public.businesses b where b.id = v_row.business_id;
    if begin_sms_attempt.cap is not null then
        v_reached_at := smsretry.cap_reached_at(
            v_row.business_id, v_customer.phone, begin_sms_attempt.cap, begin_sms_attempt.cap_since);
    end if;
    -- `for share` here, too: what finish could not write must not be sent.
    select * into v_log from public.send_logs l
    where l.id = v_row.send_log_id and l.business_id = v_row.business_id for share;
    v_now := smsretry.clock(); -- after these locks, too
    if v_customer.id is null or v_log.id is null or v_log.channel::text <> 'sms' then
        return query select 'changed', null::text, v_now, null::timestamptz; -- deleted: the next decision says so
        return;
    end if;
    v_refusal := case
        when smsretry.is_sent(v_log.provider_message_id, v_log.status::text) then 'Already sent'
        when v_customer.sms_consent_status = 'opted_out' then 'Customer opted out'
        when v_customer.sms_consent_status is distinct from 'opted_in'
            then 'Customer opted out (consent is ' || coalesce(v_customer.sms_consent_status::text, 'missing') || ')'
        when exists (select 1 from smsretry.suppressions s where s.number_key = v_key)
            then 'Customer opted out (the number did, at this business; a later opt-in lifts it)'
        when v_row.expires_at <= v_now then 'Expired before it could be sent'
    end;
    if v_refusal is not null then
        perform smsretry.close_row(v_row, 'cancelled', v_refusal, null, v_now);
        return query select 'ended', v_refusal, v_now, null::timestamptz;
        return;
    end if;
    if v_now >= begin_sms_attempt.send_before then
        return query select 'closed', null::text, v_now, null::timestamptz;
        return;
    end if;
    if v_customer.phone is distinct from coalesce(begin_sms_attempt.phone, v_customer.phone)
        or smsretry.decided_by(v_customer.phone, v_customer.timezone, v_business.timezone, v_business.sms_hours)
            <> begin_sms_attempt.decided_by then
        return query select 'changed', null::text, v_now, null::timestamptz;
        return;
    end if;
    if v_reached_at is not null then
        return query select 'capped', null::text, v_now, v_reached_at;
        return;
    end if;

    insert into public.sms_send_attempts (
        id, retry_id, attempt_number, claim_no, begun_at, consent_status, consent_at, consent_source, quiet_hours_rule,
        number_key, sent_to, sent_body, sent_by, run_id)
    values (begin_sms_attempt.attempt_id, v_row.id,
            case when begin_sms_attempt.first_send then 0 else v_row.attempt_count + 1 end,
            v_row.claim_no, v_now, v_customer.sms_consent_status, v_customer.sms_consent_at,
            v_customer.sms_consent_source, begin_sms_attempt.quiet_hours_rule,
            v_key, v_customer.phone, coalesce(begin_sms_attempt.body, left(v_log.subject, 1601)), begin_sms_attempt.sent_by,
            begin_sms_attempt.run_id);
    update public.sms_retry_queue q
    set begun_at = v_now, attempt_id = begin_sms_attempt.attempt_id, last_attempted_at = v_now, why = null,
        held_since = null, recover_count = 0, claimed_by_application = false,
        expires_at = coalesce(q.expires_at, v_now + begin_sms_attempt.life), updated_at = v_now
    where q.id = v_row.id;
    return query select 'go', null::text, v_now, null::timestamptz;
end
$$;

revoke all on function public.begin_sms_attempt from public, anon, authenticated;
grant execute on function public.begin_sms_attempt to service_role;

-- ======== schemas/53_finish_sms_attempt.sql ========
-- What became of a begun send, and where its row goes: attempt, row and send log in one transaction. May be repeated: the
-- second call finds the attempt settled and changes nothing. applied is false if the claim was lost.
--   outcome → next_status: accepted → completed; rejected, not_sent → pending (after retry_in) or failed;
--   in_doubt → pending, marked, and out of reach of the claim
-- counted: whether the send costs an attempt. What Twilio said of the number that the text was sent to (phone) is kept:
-- see smsretry.mark_customer.
create or replace function public.finish_sms_attempt(
    retry_id uuid,
    claim_no bigint,
    attempt_id uuid,
    outcome text,
    next_status text,
    error text default null,
    error_code integer default null,
    twilio_sid text default null,
    retry_in interval default null,
    reason text default null,
    counted boolean default true,
    phone text default null,
    opted_out boolean default false,
    phone_status text default null,
    account_refused boolean default false
)
returns table (applied boolean, status text, scheduled_for timestamptz, attempt_count integer)
language plpgsql security invoker set search_path = pg_catalog, pg_temp
set lock_timeout = '2s' as $$ -- as begin_sms_attempt
#variable_conflict use_column
declare
    v_doubt constant boolean := finish_sms_attempt.outcome = 'in_doubt';
    v_settled_by constant text := case when not v_doubt then 'response' end;
    v_now timestamptz;
    v_row public.sms_retry_queue;
    v_number integer;
    v_applied boolean;
begin
    if current_setting('smsretry.wait', true) <> '' then -- in a group the others wait, too
        perform set_config('lock_timeout', current_setting('smsretry.wait'), true);
    end if;
    if ((finish_sms_attempt.outcome, finish_sms_attempt.next_status) in (
        ('accepted', 'completed'), ('rejected', 'pending'), ('rejected', 'failed'),
        ('not_sent', 'pending'), ('not_sent', 'failed'), ('in_doubt', 'pending'))) is not true then
        raise exception 'A send whose outcome is % cannot leave its row %',
            finish_sms_attempt.outcome, finish_sms_attempt.next_status using errcode = 'SR422';
    end if;
    if finish_sms_attempt.next_status = 'pending' and finish_sms_attempt.retry_in is null then
        raise exception 'retry_in is missing: a row that goes back to pending needs a time' using errcode = 'SR422';
    end if;
    if finish_sms_attempt.next_status <> 'completed' and finish_sms_attempt.error is null then
        raise exception 'error is missing: a text that did not go out needs a reason' using errcode = 'SR422';
    end if;

    if finish_sms_attempt.opted_out then
        perform smsretry.lock_number(q.business_id, finish_sms_attempt.phone)
        from public.sms_retry_queue q where q.id = finish_sms_attempt.retry_id;
    end if;
    v_row := smsretry.held(finish_sms_attempt.retry_id, finish_sms_attempt.claim_no);
    v_now := smsretry.clock();
    v_applied := coalesce(v_row.begun_at is not null and v_row.attempt_id = finish_sms_attempt.attempt_id, false);

    if v_applied then
        update public.sms_send_attempts a
        set finished_at = v_now, outcome = finish_sms_attempt.outcome, error_code = finish_sms_attempt.error_code,
            twilio_sid = finish_sms_attempt.twilio_sid, settled_by = v_settled_by,
            delivery_look_at = case when finish_sms_attempt.twilio_sid is not null then v_now end,
            sent_to = case when v_doubt then a.sent_to end, sent_body = case when v_doubt then a.sent_body end
        where a.id = finish_sms_attempt.attempt_id
        returning a.attempt_number into v_number;

        if finish_sms_attempt.counted then
            v_row.attempt_count := greatest(v_row.attempt_count, v_number);
        end if;
        v_row.reason := coalesce(finish_sms_attempt.reason, v_row.reason);
        if finish_sms_attempt.reason = 'rate_limit' then
            v_row.rate_limit_count := v_row.rate_limit_count + 1;
        end if;
        if finish_sms_attempt.account_refused then
            v_row.account_refusal_count := v_row.account_refusal_count + 1;
        end if;
        case finish_sms_attempt.next_status
            when 'completed' then
                perform smsretry.complete_row(v_row, finish_sms_attempt.twilio_sid, v_now);
            when 'failed' then
                perform smsretry.close_row(v_row, 'failed', finish_sms_attempt.error, finish_sms_attempt.error_code, v_now);
            else
                v_row.last_error := finish_sms_attempt.error;
                v_row.error_code := finish_sms_attempt.error_code;
                v_row.attempt_id := case when v_doubt then v_row.attempt_id end;
                v_row.in_doubt_since := case when v_doubt then v_now end;
                perform smsretry.put_back(v_row, v_now + finish_sms_attempt.retry_in, v_now);
        end case;
        if finish_sms_attempt.opted_out or finish_sms_attempt.phone_status is not null then
            perform smsretry.mark_customer(
                v_row, finish_sms_attempt.phone, finish_sms_attempt.opted_out, finish_sms_attempt.phone_status,
                finish_sms_attempt.error_code, v_now);
        end if;
    else
        -- Applied before: the answer to the same call was lost, or Twilio's callback was faster than its response.
        v_applied := exists (
            select 1 from public.sms_send_attempts a
            where a.id = finish_sms_attempt.attempt_id and a.retry_id = finish_sms_attempt.retry_id
              and a.claim_no = finish_sms_attempt.claim_no
              and (a.settled_by = 'callback'
                   or a.outcome = finish_sms_attempt.outcome and a.settled_by is not distinct from v_settled_by));
    end if;

    return query -- one row, even for a row that is gone
    select v_applied, q.status, q.scheduled_for, q.attempt_count
    from (select 1) one
    left join public.sms_retry_queue q on q.id = finish_sms_attempt.retry_id;
end
$$;

revoke all on function public.finish_sms_attempt from public, anon, authenticated;
grant execute on function public.finish_sms_attempt to service_role;

-- ======== schemas/54_defer_sms_retry.sql ========
-- Put a claimed row back to pending for a reason that is no failure; costs no attempt. False: the claim was lost.
-- window_closes_at: when the window closes that it waits for; null if that is not known.
-- life: how long the text is of use, if it might have gone out now for the first time.
-- May be repeated.
create or replace function public.defer_sms_retry(
    retry_id uuid, claim_no bigint, until timestamptz, reason text default null, why text default null,
    life interval default null, window_closes_at timestamptz default null
)
returns boolean language plpgsql security invoker set search_path = pg_catalog, pg_temp
set lock_timeout = '2s' as $$ -- as begin_sms_attempt
#variable_conflict use_column
declare
    v_row public.sms_retry_queue;
begin
    if defer_sms_retry.until is null then
        raise exception 'until is missing: a deferred row needs a time' using errcode = 'SR422';
    end if;
    v_row := smsretry.held(defer_sms_retry.retry_id, defer_sms_retry.claim_no);
    if v_row.id is not null and v_row.begun_at is null then
        v_row.reason := coalesce(defer_sms_retry.reason, v_row.reason);
        v_row.why := left(defer_sms_retry.why, 2000);
        v_row.held_since := null;
        v_row.window_closes_at := coalesce(defer_sms_retry.window_closes_at, v_row.window_closes_at);
        v_row.expires_at := coalesce(v_row.expires_at, smsretry.clock() + defer_sms_retry.life);
        perform smsretry.put_back(v_row, defer_sms_retry.until, smsretry.clock());
        return true;
    end if;
    return exists ( -- the answer to the same call was lost on its way
        select 1 from public.sms_retry_queue q
        where q.id = defer_sms_retry.retry_id and q.status = 'pending'
          and q.claim_no = defer_sms_retry.claim_no and q.scheduled_for = defer_sms_retry.until);
end
$$;

revoke all on function public.defer_sms_retry from public, anon, authenticated;
grant execute on function public.defer_sms_retry to service_role;

-- ======== schemas/55_end_sms_retry.sql ========
-- End a claimed row whose send never began: failed (it cannot be sent) or cancelled (it is no longer wanted).
-- False: the claim was lost. May be repeated.
create or replace function public.end_sms_retry(
    retry_id uuid, claim_no bigint, final_status text, error text, error_code integer default null
)
returns boolean language plpgsql security invoker set search_path = pg_catalog, pg_temp
set lock_timeout = '2s' as $$ -- as begin_sms_attempt
#variable_conflict use_column
declare
    v_row public.sms_retry_queue;
begin
    if current_setting('smsretry.wait', true) <> '' then -- in a group the others wait, too
        perform set_config('lock_timeout', current_setting('smsretry.wait'), true);
    end if;
    if (end_sms_retry.final_status in ('failed', 'cancelled')) is not true or end_sms_retry.error is null then
        raise exception 'A row ends failed or cancelled, with a reason' using errcode = 'SR422';
    end if;
    v_row := smsretry.held(end_sms_retry.retry_id, end_sms_retry.claim_no);
    if v_row.id is not null and v_row.begun_at is null then
        perform smsretry.close_row(
            v_row, end_sms_retry.final_status, end_sms_retry.error, end_sms_retry.error_code, smsretry.clock());
        return true;
    end if;
    return exists ( -- the answer to the same call was lost on its way
        select 1 from public.sms_retry_queue q
        where q.id = end_sms_retry.retry_id and q.status = end_sms_retry.final_status
          and q.claim_no = end_sms_retry.claim_no and q.last_error = end_sms_retry.error);
end
$$;

revoke all on function public.end_sms_retry from public, anon, authenticated;
grant execute on function public.end_sms_retry to service_role;

-- ======== schemas/55_hold_sms_retry.sql ========
-- Put a claimed row back to pending because of something that a person can mend (why says what), to be looked at again
-- look_in from now. Costs no attempt. False: the claim was lost. May be repeated.
-- life: how long the text is of use, if it might have gone out now for the first time.
create or replace function public.hold_sms_retry(
    retry_id uuid, claim_no bigint, why text, look_in interval, life interval default null
)
returns boolean language plpgsql security invoker set search_path = pg_catalog, pg_temp
set lock_timeout = '2s' as $$ -- as begin_sms_attempt
#variable_conflict use_column
declare
    v_row public.sms_retry_queue;
    v_now timestamptz;
begin
    if hold_sms_retry.why is null or hold_sms_retry.look_in is null then
        raise exception 'why and look_in must be given: a held row says what it waits for' using errcode = 'SR422';
    end if;
    v_row := smsretry.held(hold_sms_retry.retry_id, hold_sms_retry.claim_no);
    v_now := smsretry.clock();
    if v_row.id is not null and v_row.begun_at is null then
        v_row.why := left(hold_sms_retry.why, 2000);
        v_row.held_since := coalesce(v_row.held_since, v_now);
        v_row.expires_at := coalesce(v_row.expires_at, v_now + hold_sms_retry.life);
        perform smsretry.put_back(v_row, v_now + hold_sms_retry.look_in, v_now);
        return true;
    end if;
    return exists ( -- the answer to the same call was lost on its way
        select 1 from public.sms_retry_queue q
        where q.id = hold_sms_retry.retry_id and q.status = 'pending'
          and q.claim_no = hold_sms_retry.claim_no and q.held_since is not null);
end
$$;

revoke all on function public.hold_sms_retry from public, anon, authenticated;
grant execute on function public.hold_sms_retry to service_role;

-- ======== schemas/56_recover_stuck_sms_retries.sql ========
-- Take back the rows whose worker has been silent for stale_minutes, and return them as they are now.
--   begun, or claimed by a caller that does not begin: the text may have gone out, so the row is in doubt
--   in doubt: still so; after the second time it is claimed alone
--   neither: pending again at no cost, however often; after the second time it is claimed alone, and ever less often
-- None is given up here: a text that was never tried is never failed before it expires.
-- A row in doubt is looked at again look_in from now. The defaults are for the application, which calls this with
-- stale_minutes alone; the package passes what it means.
create or replace function public.recover_stuck_sms_retries(
    stale_minutes integer default 10, look_in interval default '1 minute'
)
returns setof public.sms_retry_queue
language plpgsql security invoker set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
declare
    v_now constant timestamptz := smsretry.clock();
    v_stale public.sms_retry_queue;
begin
    if stale_minutes is null or stale_minutes < 1 then
        raise exception 'stale_minutes must be 1 or more, not %', stale_minutes
            using errcode = 'SR422', hint = 'It must outlast the slowest send, or live workers lose their claims.';
    end if;
    if look_in is null then
        raise exception 'look_in must not be null' using errcode = 'SR422';
    end if;
    for v_stale in
        select * from public.sms_retry_queue q
        where q.status = 'processing'
          and (greatest(q.claimed_at, q.begun_at) <= v_now - make_interval(mins => stale_minutes)
               -- Claimed while the clock was ahead: its lease would last until then.
               or greatest(q.claimed_at, q.begun_at) > v_now + make_interval(mins => stale_minutes))
        order by q.id
        limit 500
        for update skip locked
    loop
        begin
            -- Nobody can have texted a customer without a number.
            if v_stale.claimed_by_application and v_stale.begun_at is null and v_stale.in_doubt_since is null
                and not exists (select 1 from public.customers c
                                where c.id = v_stale.customer_id and coalesce(btrim(c.phone), '') = '') then
                v_stale := smsretry.begin_for_application(v_stale);
            end if;
            if v_stale.begun_at is not null then
                update public.sms_send_attempts a
                set finished_at = v_now, outcome = 'in_doubt', worker_died = true
                where a.id = v_stale.attempt_id and a.finished_at is null;
                v_stale.in_doubt_since := v_now;
                v_stale.attempt_count := greatest(v_stale.attempt_count, coalesce(
                    (select a.attempt_number from public.sms_send_attempts a where a.id = v_stale.attempt_id), 0));
                v_stale.last_error := 'The worker died after the send began: it is unknown whether the text went out';
                v_stale.error_code := null;
                perform smsretry.put_back(v_stale, v_now + look_in, v_now);
            elsif v_stale.in_doubt_since is not null then
                -- Its worker died while it looked for evidence. Not limited: to give the row up would call a text failed
                -- that may have been read.
                v_stale.recover_count := v_stale.recover_count + 1; -- its looks may be what kills the workers
                perform smsretry.put_back(v_stale, v_now + look_in, v_now);
            else
                v_stale.recover_count := v_stale.recover_count + 1;
                if v_stale.recover_count >= 2 then
                    v_stale.why := 'Its worker died ' || v_stale.recover_count
                        || ' times before the send began: it is claimed alone from now on';
                end if;
                perform smsretry.put_back(
                    v_stale,
                    case when v_stale.recover_count < 2 then v_stale.scheduled_for
                         else v_now + make_interval(mins => least(v_stale.recover_count - 2, 15)) end,
                    v_now);
            end if;
            return query select q.* from public.sms_retry_queue q where q.id = v_stale.id;
        exception when others then
            -- One bad row must not keep the others stuck; the next run tries it again.
            raise warning 'Row % could not be recovered: % (%)', v_stale.id, sqlerrm, sqlstate;
        end;
    end loop;
end
$$;

revoke all on function public.recover_stuck_sms_retries from public, anon, authenticated;
grant execute on function public.recover_stuck_sms_retries to service_role;

-- ======== schemas/57_answer_sms_call.sql ========
-- One call of a worker's, given as JSON: its parameters by name, as PostgREST has them.
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
                life => (v ->> 'life')::interval, run_id => (v ->> 'run_id')::uuid) b);
        when 'finish_sms_attempt' then
            return (select to_jsonb(f) from public.finish_sms_attempt(
                retry_id => (v ->> 'retry_id')::uuid, claim_no => (v ->> 'claim_no')::bigint,
                attempt_id => (v ->> 'attempt_id')::uuid, outcome => v ->> 'outcome', next_status => v ->> 'next_status',
                error => v ->> 'error', error_code => (v ->> 'error_code')::integer, twilio_sid => v ->> 'twilio_sid',
                retry_in => (v ->> 'retry_in')::interval, reason => v ->> 'reason',
                counted => coalesce((v ->> 'counted')::boolean, true), phone => v ->> 'phone',
                opted_out => coalesce((v ->> 'opted_out')::boolean, false), phone_status => v ->> 'phone_status',
                account_refused => coalesce((v ->> 'account_refused')::boolean, false)) f);
        when 'defer_sms_retry' then
            return to_jsonb(public.defer_sms_retry(
                retry_id => (v ->> 'retry_id')::uuid, claim_no => (v ->> 'claim_no')::bigint,
                until => (v ->> 'until')::timestamptz, reason => v ->> 'reason', why => v ->> 'why',
                life => (v ->> 'life')::interval));
        when 'hold_sms_retry' then
            return to_jsonb(public.hold_sms_retry(
                retry_id => (v ->> 'retry_id')::uuid, claim_no => (v ->> 'claim_no')::bigint, why => v ->> 'why',
                look_in => (v ->> 'look_in')::interval, life => (v ->> 'life')::interval));
        when 'end_sms_retry' then
            return to_jsonb(public.end_sms_retry(
                retry_id => (v ->> 'retry_id')::uuid, claim_no => (v ->> 'claim_no')::bigint,
                final_status => v ->> 'final_status', error => v ->> 'error', error_code => (v ->> 'error_code')::integer));
        else
            raise exception 'There is no call % in a group', answer_sms_call.function using errcode = 'SR422';
    end case;
end
$$;

revoke all on function smsretry.answer_sms_call from public, anon, authenticated;
grant execute on function smsretry.answer_sms_call to service_role;

-- ======== schemas/58_group_sms_calls.sql ========
-- Calls of a worker's that are under way together, as one transaction: begin, finish, defer, hold and end. Each answers for
-- itself; one that fails is undone alone, and its answer is the error. calls: [{"function", "values", "lock_order"}].
-- May be repeated, as each of them may.
--   place: the call's place in the array, from 1 · answer: what the function answered · code, message, hint: its error
-- Locks are taken in one order (lock_order), so that two groups do not deadlock. A row that somebody holds locked is
-- waited for half a second once in a group, and then hardly at all: the others wait for it.
create or replace function public.group_sms_calls(calls jsonb)
returns table (place integer, answer jsonb, code text, message text, hint text)
language plpgsql security invoker set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
declare
    v_call record;
begin
    if (jsonb_typeof(group_sms_calls.calls) = 'array' and jsonb_array_length(group_sms_calls.calls) between 1 and 100) is not true then
        raise exception 'calls must be an array of 1 to 100 calls' using errcode = 'SR422';
    end if;
    perform set_config('smsretry.wait', '500ms', true);
    for v_call in
        select c.value, c.ordinality::integer as place
        from jsonb_array_elements(group_sms_calls.calls) with ordinality c
        order by c.value ->> 'lock_order', c.ordinality
    loop
        place := v_call.place;
        answer := null;
        code := null;
        message := null;
        hint := null;
        begin
            answer := smsretry.answer_sms_call(v_call.value ->> 'function', v_call.value -> 'values');
        exception when others then
            get stacked diagnostics code = returned_sqlstate, message = message_text, hint = pg_exception_hint;
            if code = '55P03' then
                perform set_config('smsretry.wait', '10ms', true);
            end if;
        end;
        return next;
    end loop;
end
$$;

revoke all on function public.group_sms_calls from public, anon, authenticated;
grant execute on function public.group_sms_calls to service_role;

-- ======== schemas/59_finish_sms_run.sql ========
-- A run is done: what it came to, in numbers. False: nobody knows the run. May be repeated.
create or replace function public.finish_sms_run(run_id uuid, told text, needs_somebody boolean default false)
returns boolean language plpgsql security invoker set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
begin
    update smsretry.runs r
    set finished_at = smsretry.clock(), told = left(coalesce(finish_sms_run.told, ''), 2000),
        needs_somebody = coalesce(finish_sms_run.needs_somebody, false)
    where r.id = finish_sms_run.run_id;
    return found;
end
$$;

revoke all on function public.finish_sms_run from public, anon, authenticated;
grant execute on function public.finish_sms_run to service_role;

-- ======== schemas/60_claim_doubtful_sms_retries.sql ========
-- Take up to limit_count rows in doubt whose next look has come (clamped to 500), to look for evidence of what became of
-- their attempt. Rows under suspicion are not taken: claim_suspect_sms_retry.
create or replace function public.claim_doubtful_sms_retries(limit_count integer default 50)
returns setof smsretry.claimed_retry
language plpgsql security invoker set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
declare
    v_now constant timestamptz := smsretry.clock();
    v_ids uuid[];
begin
    with due as materialized (
        select q.id from public.sms_retry_queue q
        where q.status = 'pending' and q.in_doubt_since is not null and q.scheduled_for <= v_now and q.recover_count < 2
        order by q.scheduled_for, q.id
        limit least(greatest(coalesce(limit_count, 50), 0), 500)
        for update skip locked
    )
    select array_agg(d.id) into v_ids from due d;

    return query select * from smsretry.take(v_ids, v_now);
end
$$;

revoke all on function public.claim_doubtful_sms_retries from public, anon, authenticated;
grant execute on function public.claim_doubtful_sms_retries to service_role;

-- ======== schemas/61_reconcile_sms_retry.sql ========
-- What a look for evidence came to, for a row in doubt that the caller has claimed. May be repeated.
--   decision: accepted     it was found (twilio_sid; null if only the send log says so)
--           | look_again   it was not found; the next look is look_in from now
--           | look_failed  the look itself failed, which proves nothing; the next one is look_in from now
--           | resend       it was not found for long enough: send it again
--           | hold         a person is to decide, and error says about what; looked at again look_in from now. ambiguous:
--                          the messages that may be the text. Past its expiry, the row fails with that error.
--   answer: applied
--         | lost       the claim was lost
--         | sid_taken  another text has that SID, or all that are ambiguous: look at the next message
--         | wait       a send to the same number has no answer yet. A message found now may be that one's, and to take it
--                      would lose a text.
create or replace function public.reconcile_sms_retry(
    retry_id uuid,
    claim_no bigint,
    decision text,
    twilio_sid text default null,
    settled_by text default 'reconcile',
    look_in interval default null,
    error text default null,
    ambiguous text[] default null
)
returns text language plpgsql security invoker set search_path = pg_catalog, pg_temp
set lock_timeout = '2s' as $$ -- as begin_sms_attempt
#variable_conflict use_column
declare
    v_row public.sms_retry_queue;
    v_now timestamptz;
begin
    if (reconcile_sms_retry.decision in ('accepted', 'look_again', 'look_failed', 'resend', 'hold')) is not true
        or reconcile_sms_retry.decision in ('look_again', 'look_failed', 'hold') and reconcile_sms_retry.look_in is null
        or reconcile_sms_retry.decision = 'hold' and reconcile_sms_retry.error is null then
        raise exception 'decision must be accepted, look_again or look_failed (with look_in), resend, or hold (with error and look_in)'
            using errcode = 'SR422';
    end if;
    v_row := smsretry.held(reconcile_sms_retry.retry_id, reconcile_sms_retry.claim_no);
    v_now := smsretry.clock();
    if v_row.id is null or v_row.begun_at is not null or v_row.in_doubt_since is null then
        return case when exists ( -- the answer to the same call was lost on its way
            select 1 from public.sms_retry_queue q
            where q.id = reconcile_sms_retry.retry_id and q.reconciled_claim_no = reconcile_sms_retry.claim_no)
            then 'applied' else 'lost' end;
    end if;
    -- In this order: an answer that comes between the two checks is then seen as a taken SID, and never missed by both.
    if (reconcile_sms_retry.twilio_sid is not null or reconcile_sms_retry.ambiguous is not null) and exists (
        select 1 from public.sms_retry_queue q
        join public.sms_send_attempts theirs on theirs.id = q.attempt_id
        join public.sms_send_attempts ours on ours.id = v_row.attempt_id and ours.sent_to = theirs.sent_to
        where q.status = 'processing' and q.begun_at is not null and q.id <> v_row.id) then
        return 'wait';
    end if;
    if smsretry.is_anothers(reconcile_sms_retry.twilio_sid, v_row.attempt_id, v_row.send_log_id)
        or not exists (select 1 from unnest(reconcile_sms_retry.ambiguous) as m (sid)
                       where not smsretry.is_anothers(m.sid, v_row.attempt_id, v_row.send_log_id))
           and reconcile_sms_retry.ambiguous is not null then
        return 'sid_taken';
    end if;

    v_row.reconciled_claim_no := reconcile_sms_retry.claim_no;
    v_row.recover_count := 0;
    case reconcile_sms_retry.decision
        when 'accepted' then
            update public.sms_send_attempts a
            set outcome = 'accepted', finished_at = v_now, settled_by = reconcile_sms_retry.settled_by,
                twilio_sid = reconcile_sms_retry.twilio_sid, error_code = null, sent_to = null, sent_body = null,
                delivery_look_at = case when reconcile_sms_retry.twilio_sid is not null then v_now end
            where a.id = v_row.attempt_id;
            perform smsretry.complete_row(v_row, reconcile_sms_retry.twilio_sid, v_now);
        when 'hold' then
            if v_row.expires_at <= v_now then
                perform smsretry.close_row(v_row, 'failed', reconcile_sms_retry.error, null, v_now);
            else
                v_row.why := left(reconcile_sms_retry.error, 2000);
                v_row.held_since := coalesce(v_row.held_since, v_now);
                perform smsretry.put_back(v_row, v_now + reconcile_sms_retry.look_in, v_now);
            end if;
        when 'resend' then
            perform smsretry.resend(v_row, reconcile_sms_retry.settled_by, v_now);
        else
            if reconcile_sms_retry.decision = 'look_again' then
                v_row.reconcile_count := v_row.reconcile_count + 1;
            end if;
            perform smsretry.put_back(v_row, v_now + reconcile_sms_retry.look_in, v_now);
    end case;
    return 'applied';
exception when unique_violation then -- two looks found the same message at the same moment
    return 'sid_taken';
end
$$;

revoke all on function public.reconcile_sms_retry from public, anon, authenticated;
grant execute on function public.reconcile_sms_retry to service_role;

-- ======== schemas/62_settle_sms_attempt.sql ========
-- For the application's webhook: what Twilio's status callback says. That Twilio has the message, by the attempt whose id is in
-- the URL, and how far it has come (delivery_status, error_code: Twilio's MessageStatus and ErrorCode). May be called any
-- number of times, in any order, before or after the sender's own answer. Without attempt_id the attempt is found by its SID.
-- A status that Twilio adds one day proves the message, and is not kept.
-- Answers settled (the row is completed), recorded (the row had moved on, or the status is news), already_settled (nothing
-- is news), or unknown_attempt (there is none, or Twilio has it under another SID).
create or replace function public.settle_sms_attempt(
    attempt_id uuid default null, twilio_sid text default null, settled_by text default 'callback',
    delivery_status text default null, error_code integer default null
)
returns text language plpgsql security invoker set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
declare
    v_row public.sms_retry_queue;
    v_attempt public.sms_send_attempts;
    v_now timestamptz;
    v_answer text := 'already_settled';
begin
    if (settle_sms_attempt.twilio_sid ~ '^(SM|MM)[0-9a-fA-F]{32}$') is not true
        or (settle_sms_attempt.settled_by in ('callback', 'operator')) is not true then
        raise exception 'twilio_sid must be a message SID (SM or MM and 32 hexadecimal digits), settled_by callback or operator'
            using errcode = 'SR422';
    end if;
    if settle_sms_attempt.attempt_id is null then
        select * into v_attempt from public.sms_send_attempts a where a.twilio_sid = settle_sms_attempt.twilio_sid;
    else
        select * into v_attempt from public.sms_send_attempts a where a.id = settle_sms_attempt.attempt_id;
    end if;
    -- Twilio holds no claim, so there is no fence here: what it accepted is true whoever has the row.
    select * into v_row from public.sms_retry_queue q where q.id = v_attempt.retry_id for update;
    if not found then
        return 'unknown_attempt';
    end if;
    select * into v_attempt from public.sms_send_attempts a where a.id = v_attempt.id;
    v_now := smsretry.clock();
    if v_attempt.twilio_sid <> settle_sms_attempt.twilio_sid then
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

revoke all on function public.settle_sms_attempt from public, anon, authenticated;
grant execute on function public.settle_sms_attempt to service_role;

-- ======== schemas/63_resolve_sms_doubt.sql ========
-- For a person: what became of a text that is in doubt. With a SID it went out, as that message; without one it did not,
-- and is sent again. A text that expired in doubt has ended: with a SID its send log says that it went out; without one
-- it stays ended, and may be requeued. Answers resolved, or not_in_doubt. With a SID it may be repeated.
create or replace function public.resolve_sms_doubt(
    retry_id uuid, twilio_sid text default null, who text default null, because text default null
)
returns text language plpgsql security invoker set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
declare
    v_row public.sms_retry_queue;
    v_attempt_id uuid;
begin
    if num_nonnulls(resolve_sms_doubt.who, resolve_sms_doubt.because) > 0 then
        perform smsretry.check_told(resolve_sms_doubt.who, resolve_sms_doubt.because);
    end if;
    select * into v_row from public.sms_retry_queue q where q.id = resolve_sms_doubt.retry_id for update;
    if v_row.status = 'pending' and v_row.in_doubt_since is not null then
        v_attempt_id := v_row.attempt_id;
    elsif v_row.status in ('failed', 'cancelled') then
        select a.id into v_attempt_id from public.sms_send_attempts a
        where a.retry_id = v_row.id and a.outcome = 'in_doubt'
        order by a.begun_at desc limit 1;
    end if;
    if v_attempt_id is null then -- or a worker is looking at it at this moment
        return case when exists (select 1 from public.sms_send_attempts a
                                 where a.retry_id = v_row.id and a.twilio_sid = resolve_sms_doubt.twilio_sid)
                    then 'resolved' else 'not_in_doubt' end;
    end if;
    if resolve_sms_doubt.twilio_sid is null and v_row.status = 'pending' then
        perform smsretry.resend(v_row, 'operator', smsretry.clock());
    elsif resolve_sms_doubt.twilio_sid is null then
        update public.sms_send_attempts a
        set outcome = 'not_sent', finished_at = smsretry.clock(), settled_by = 'operator', sent_to = null, sent_body = null
        where a.id = v_attempt_id;
    else
        perform public.settle_sms_attempt(v_attempt_id, resolve_sms_doubt.twilio_sid, 'operator');
    end if;
    insert into smsretry.steps (retry_id, taken_at, step, who, because)
    values (v_row.id, smsretry.clock(), case when resolve_sms_doubt.twilio_sid is null then 'did not go out' else 'went out' end,
            coalesce(resolve_sms_doubt.who, 'not said'), coalesce(resolve_sms_doubt.because, 'not said'));
    return 'resolved';
end
$$;

revoke all on function public.resolve_sms_doubt from public, anon, authenticated;
grant execute on function public.resolve_sms_doubt to service_role;

-- ======== schemas/64_claim_sms_deliveries.sql ========
-- Messages whose delivery is open: Twilio accepted them and said nothing final, or they did not arrive and nobody has
-- decided yet what follows. Longest waiting first, none younger than first_look, which leaves time for Twilio's callback.
-- A failure is decided about at once. Taken for as long as lease, so that runs side by side ask for each message once.
--   failures: messages of this text that did not arrive, this one included · settled: nothing follows from a failure, because
--   its row has not ended with this message, or another row of the text waits · may_have_arrived: another message of the text is, or may get, on the phone
create or replace function public.claim_sms_deliveries(
    limit_count integer default 1000, first_look interval default '5 minutes', lease interval default '10 minutes'
)
returns table (
    attempt_id uuid, looks integer, retry_id uuid, business_id uuid, customer_id uuid, send_log_id uuid, twilio_sid text,
    accepted_at timestamptz, delivery_status text, delivery_code integer, failures bigint, attempt_count integer,
    max_attempts integer, expires_at timestamptz, settled boolean, may_have_arrived boolean, claimed_at timestamptz
)
language plpgsql security invoker set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
declare
    v_now constant timestamptz := smsretry.clock();
begin
    if (claim_sms_deliveries.limit_count between 1 and 10000 and claim_sms_deliveries.first_look >= interval '0'
        and claim_sms_deliveries.lease >= interval '0') is not true then
        raise exception 'limit_count must be 1 to 10000, first_look and lease 0 or more' using errcode = 'SR422';
    end if;
    return query
    with taken as (
        update public.sms_send_attempts a
        set delivery_look_at = v_now + claim_sms_deliveries.lease, delivery_looks = a.delivery_looks + 1
        where a.id = any (array(
            select o.id from public.sms_send_attempts o
            where o.delivery_look_at <= v_now
              and (o.finished_at <= v_now - claim_sms_deliveries.first_look or smsretry.delivery_rank(o.delivery_status) = 6)
            order by o.delivery_look_at limit claim_sms_deliveries.limit_count
            for update skip locked))
        returning a.*
    )
    select t.id, t.delivery_looks, q.id, q.business_id, q.customer_id, q.send_log_id, t.twilio_sid,
           t.finished_at, t.delivery_status, t.delivery_code,
           (select count(*) from public.sms_send_attempts a
            -- An array, so that an index finds them whatever is known of the tables.
            where a.retry_id = any (array(select o.id from public.sms_retry_queue o where o.send_log_id = q.send_log_id))
              and (a.id = t.id or smsretry.delivery_rank(a.delivery_status) = 6)),
           greatest(q.attempt_count, t.attempt_number), q.max_attempts, q.expires_at,
           q.status <> 'completed' or l.id is null or smsretry.found_sid(l.provider_message_id) is distinct from t.twilio_sid
               or exists (select 1 from public.sms_retry_queue o
                          where o.send_log_id = q.send_log_id and o.status in ('pending', 'processing')),
           smsretry.may_have_arrived(q.send_log_id, t.id), v_now
    from taken t
    join public.sms_retry_queue q on q.id = t.retry_id
    left join public.send_logs l on l.id = q.send_log_id
    order by t.finished_at;
end
$$;

revoke all on function public.claim_sms_deliveries from public, anon, authenticated;
grant execute on function public.claim_sms_deliveries to service_role;

-- ======== schemas/65_finish_sms_delivery.sql ========
-- What a look after a message came to: what Twilio reports (delivery_status, error_code), and what follows. May be repeated.
--   decision: look_again   nothing final yet; the next look is look_in from now
--           | close        nothing follows: it was delivered, or another message of the text counts
--           | unknown      Twilio said nothing final for long enough
--           | send_again   it did not arrive: its row goes back into the queue, due retry_in from now, and every check is made
--                          anew. A repetition answers changed, and changes nothing; so with give_up.
--           | give_up      it did not arrive and is not sent again: the row has failed with error. What the failure says of the
--                          number is kept: opted_out, phone_status
--   look_in: when it is looked after once more. A message that did not arrive may be delivered after all.
--   answer: applied
--         | lost     somebody else looks after it, or it has been settled by a callback
--         | changed  what was decided about is no longer so: it is looked after again
create or replace function public.finish_sms_delivery(
    attempt_id uuid,
    looks integer,
    decision text,
    delivery_status text default null,
    error_code integer default null,
    look_in interval default null,
    retry_in interval default null,
    error text default null,
    opted_out boolean default false,
    phone_status text default null
)
returns text language plpgsql security invoker set search_path = pg_catalog, pg_temp
set lock_timeout = '2s' as $$ -- as begin_sms_attempt
#variable_conflict use_column
declare
    v_row public.sms_retry_queue;
    v_attempt public.sms_send_attempts;
    v_now timestamptz;
    v_failed boolean;
    v_fails constant boolean := finish_sms_delivery.decision in ('send_again', 'give_up');
begin
    if (finish_sms_delivery.decision in ('look_again', 'close', 'unknown', 'send_again', 'give_up')) is not true
        or finish_sms_delivery.decision = 'look_again' and finish_sms_delivery.look_in is null
        or finish_sms_delivery.decision = 'send_again' and finish_sms_delivery.retry_in is null
        or v_fails and finish_sms_delivery.error is null then
        raise exception 'decision must be look_again (with look_in), close, unknown, send_again (with retry_in and error) or give_up (with error)'
            using errcode = 'SR422';
    end if;
    select * into v_row from public.sms_retry_queue q
    where q.id = (select a.retry_id from public.sms_send_attempts a where a.id = finish_sms_delivery.attempt_id)
    for update;
    v_now := smsretry.clock();
    select * into v_attempt from public.sms_send_attempts a where a.id = finish_sms_delivery.attempt_id for update;
    if (v_attempt.delivery_looks = finish_sms_delivery.looks) is not true then
        return 'lost';
    end if;
    if v_attempt.delivery_look_at is null then -- the answer to the same call was lost on its way, or a callback was faster
        return 'applied';
    end if;
    perform smsretry.record_delivery(
        v_attempt.id, case finish_sms_delivery.decision when 'unknown' then 'unknown' else finish_sms_delivery.delivery_status end,
        finish_sms_delivery.error_code, v_now);
    select * into v_attempt from public.sms_send_attempts a where a.id = v_attempt.id;
    if v_attempt.delivery_look_at is null then
        return case when v_fails then 'changed' else 'applied' end; -- delivered
    end if;
    v_failed := smsretry.delivery_rank(v_attempt.delivery_status) is not distinct from 6;
    if v_fails and (not v_failed or v_row.status <> 'completed' or smsretry.may_have_arrived(v_row.send_log_id, v_attempt.id)
            or exists (select 1 from public.sms_retry_queue q
                       where q.send_log_id = v_row.send_log_id and q.status in ('pending', 'processing')))
        or v_failed and finish_sms_delivery.decision in ('look_again', 'unknown') and v_attempt.delivery_look_at <= v_now
            and smsretry.delivery_rank(finish_sms_delivery.delivery_status) is distinct from 6 then
        return 'changed'; -- a callback has reported a failure since it was taken
    end if;
    update public.sms_send_attempts a
    set delivery_look_at = v_now + finish_sms_delivery.look_in
    where a.id = v_attempt.id;
    if finish_sms_delivery.decision = 'send_again' then
        perform smsretry.send_again(v_row, v_attempt, finish_sms_delivery.error, v_now + finish_sms_delivery.retry_in, v_now);
    elsif finish_sms_delivery.decision = 'give_up' then
        perform smsretry.close_row(v_row, 'failed', finish_sms_delivery.error, v_attempt.delivery_code, v_now);
        perform smsretry.tell_delivery(
            v_row.send_log_id, 'undelivered', v_attempt.twilio_sid, finish_sms_delivery.error, v_now);
    end if;
    if finish_sms_delivery.opted_out or finish_sms_delivery.phone_status is not null then
        perform smsretry.mark_customer(
            v_row, c.phone, finish_sms_delivery.opted_out, finish_sms_delivery.phone_status, v_attempt.delivery_code, v_now)
        from public.customers c -- whose number is still the one that the text was sent to
        where c.id = v_row.customer_id and c.business_id = v_row.business_id
          and smsretry.number_key(v_row.business_id, c.phone) = v_attempt.number_key;
    end if;
    return 'applied';
end
$$;

revoke all on function public.finish_sms_delivery from public, anon, authenticated;
grant execute on function public.finish_sms_delivery to service_role;

-- ======== schemas/70_set_sms_circuit.sql ========
-- Open the circuit breaker, or close it. why: what is wrong and what to do; null closes it. Returns whether it is open.
create or replace function public.set_sms_circuit(why text)
returns boolean language plpgsql security invoker set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
begin
    if set_sms_circuit.why is null then
        delete from smsretry.circuit where only_one; -- Supabase refuses a delete without a where clause
        return false;
    end if;
    insert into smsretry.circuit (opened_at, why) values (smsretry.clock(), smsretry.numberless(set_sms_circuit.why))
    on conflict (only_one) do update set why = excluded.why;
    return true;
end
$$;

revoke all on function public.set_sms_circuit from public, anon, authenticated;
grant execute on function public.set_sms_circuit to service_role;

-- ======== schemas/71_set_sms_state_stop.sql ========
-- Stop marketing texts to a US state, or lift the stop. why: the emergency; null lifts it. Returns whether it is stopped.
create or replace function public.set_sms_state_stop(state text, why text)
returns boolean language plpgsql security invoker set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
begin
    if (set_sms_state_stop.state ~ '^[A-Z]{2}$') is not true then
        raise exception 'state must be two capital letters, such as LA' using errcode = 'SR422';
    end if;
    if set_sms_state_stop.why is null then
        delete from smsretry.stopped_states s where s.state = set_sms_state_stop.state;
        return false;
    end if;
    insert into smsretry.stopped_states (state, stopped_at, why)
    values (set_sms_state_stop.state, smsretry.clock(), smsretry.numberless(set_sms_state_stop.why))
    on conflict (state) do update set why = excluded.why;
    return true;
end
$$;

revoke all on function public.set_sms_state_stop from public, anon, authenticated;
grant execute on function public.set_sms_state_stop to service_role;

-- ======== schemas/80_cancel_scheduled.sql ========
-- For cancel_sms_retries: end scheduled sends that are no texts yet, the newest first. What was done, or would be, a JSON
-- object a row, as told_of_change has it. The filter: as smsretry.chosen; a code or a reason fits none of them.
create or replace function smsretry.cancel_scheduled(
    ids uuid[], business_id uuid, customer_id uuid, containing text, since timestamptz, until timestamptz, row_limit integer,
    dry_run boolean, why text
)
returns jsonb[] language plpgsql set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_custom_plan as $$
#variable_conflict use_column
declare
    v_send public.scheduled_sends;
    v_skip text;
    v_told jsonb[] := '{}';
begin
    for v_send in
        select s.* from public.scheduled_sends s
        where s.status = 'scheduled'
          and (cancel_scheduled.ids is null or s.id = any (cancel_scheduled.ids))
          and (cancel_scheduled.business_id is null or s.business_id = cancel_scheduled.business_id)
          and (cancel_scheduled.customer_id is null or s.customer_id = cancel_scheduled.customer_id)
          and (cancel_scheduled.containing is null or strpos(lower(s.why), lower(cancel_scheduled.containing)) > 0)
          and (cancel_scheduled.since is null or s.updated_at >= cancel_scheduled.since)
          and (cancel_scheduled.until is null or s.updated_at < cancel_scheduled.until)
        order by s.updated_at desc, s.id
        limit cancel_scheduled.row_limit
    loop
        v_skip := null;
        if not cancel_scheduled.dry_run then
            update public.scheduled_sends s set status = 'cancelled', why = cancel_scheduled.why
            where s.id = v_send.id and s.status = 'scheduled';
            v_skip := case when not found then 'It has changed meanwhile' end;
        end if;
        v_told := v_told || jsonb_build_object(
            'retry_id', v_send.id, 'business_id', v_send.business_id, 'customer_id', v_send.customer_id,
            'number', smsretry.masked((select c.phone from public.customers c where c.id = v_send.customer_id)),
            'message_class', v_send.message_class, 'attempts', 0,
            'was', coalesce(smsretry.numberless(v_send.why), 'Scheduled for ' || to_char(v_send.scheduled_for at time zone 'UTC', 'YYYY-MM-DD HH24:MI') || ' UTC'),
            'skipped', v_skip, 'warned', null);
    end loop;
    return v_told;
end
$$;

revoke all on function smsretry.cancel_scheduled from public, anon, authenticated;
grant execute on function smsretry.cancel_scheduled to service_role;

-- ======== schemas/80_check_told.sql ========
-- Who takes a step, and why, are kept for good and shown to everybody: they must be given, and hold no phone number.
create or replace function smsretry.check_told(who text, because text)
returns void language plpgsql immutable set search_path = pg_catalog, pg_temp as $$
begin
    if coalesce(btrim(check_told.who), '') = '' or coalesce(btrim(check_told.because), '') = ''
        or length(check_told.who) > 200 or length(check_told.because) > 500 then
        raise exception 'who and because must be given (200 and 500 characters at most): they are kept with each text'
            using errcode = 'SR422';
    end if;
    if (smsretry.numberless(check_told.who), smsretry.numberless(check_told.because))
        is distinct from (check_told.who, check_told.because) then
        raise exception 'who and because must hold no phone number: they are kept for good and shown to everybody'
            using errcode = 'SR422', hint = 'Name the customer by its id.';
    end if;
end
$$;

revoke all on function smsretry.check_told from public, anon, authenticated;
grant execute on function smsretry.check_told to service_role;

-- ======== schemas/80_chosen.sql ========
-- The rows that a person means, newest first. A null says nothing about its column; containing looks into last_error and
-- why; since and until are about the last change.
create or replace function smsretry.chosen(
    statuses text[], retry_ids uuid[], business_id uuid, customer_id uuid, code integer, reason text, containing text,
    since timestamptz, until timestamptz
)
returns setof public.sms_retry_queue language plpgsql stable set search_path = pg_catalog, pg_temp
-- Planned for what was asked: a generic plan would read the whole table.
set plan_cache_mode = force_custom_plan as $$
#variable_conflict use_column
begin
    if num_nonnulls(chosen.retry_ids, chosen.business_id, chosen.customer_id, chosen.code, chosen.reason,
                    nullif(btrim(chosen.containing), ''), chosen.since, chosen.until) = 0 then
        raise exception 'Say which texts: by retry_ids, business_id, customer_id, code, reason, containing, since or until'
            using errcode = 'SR422';
    end if;
    return query
    select q.* from public.sms_retry_queue q
    where q.status = any (chosen.statuses)
      and (chosen.retry_ids is null or q.id = any (chosen.retry_ids))
      and (chosen.business_id is null or q.business_id = chosen.business_id)
      and (chosen.customer_id is null or q.customer_id = chosen.customer_id)
      and (chosen.code is null or q.error_code = chosen.code)
      and (chosen.reason is null or q.reason = chosen.reason)
      and (chosen.containing is null
           or strpos(lower(concat_ws(' ', q.last_error, q.why)), lower(chosen.containing)) > 0)
      and (chosen.since is null or q.updated_at >= chosen.since)
      and (chosen.until is null or q.updated_at < chosen.until)
    order by q.updated_at desc, q.id;
end
$$;

revoke all on function smsretry.chosen from public, anon, authenticated;
grant execute on function smsretry.chosen to service_role;

-- ======== schemas/80_doubt.sql ========
-- For doubt_sms_retries: whether this text went out at some time since is unknown. The send that may have been is written
-- as an attempt; one that was in doubt already keeps its own. The first look is due at once.
create or replace function smsretry.doubt(retry public.sms_retry_queue, since timestamptz, at timestamptz)
returns void language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    retry.claim_no := retry.claim_no + 1000000; -- more than a text was ever claimed
    update public.sms_retry_queue q set claim_no = retry.claim_no where q.id = retry.id;
    if retry.in_doubt_since is null then
        retry.claimed_at := doubt.since;
        retry := smsretry.begin_for_application(retry);
        update public.sms_send_attempts a set outcome = 'in_doubt', finished_at = doubt.at where a.id = retry.attempt_id;
    end if;
    retry.in_doubt_since := doubt.at;
    retry.reconcile_count := 0;
    retry.recover_count := 0;
    retry.held_since := null;
    retry.why := 'The database was restored from a backup: it is unknown whether the text went out after that was taken';
    perform smsretry.put_back(retry, doubt.at, doubt.at);
end
$$;

revoke all on function smsretry.doubt from public, anon, authenticated;
grant execute on function smsretry.doubt to service_role;

-- ======== schemas/80_is_undelivered.sql ========
-- Whether a text's send log shows a message that did not arrive, and no other message of the text is, or may get, on the
-- phone. Such a text may be sent again, although its send log has a SID.
create or replace function smsretry.is_undelivered(send_log_id uuid, provider_message_id jsonb)
returns boolean language sql stable set search_path = pg_catalog, pg_temp as $$
    select exists (select 1 from public.sms_send_attempts a
                   where a.twilio_sid = smsretry.found_sid(is_undelivered.provider_message_id)
                     and smsretry.delivery_rank(a.delivery_status) = 6)
       and not smsretry.may_have_arrived(is_undelivered.send_log_id, null)
$$;

revoke all on function smsretry.is_undelivered from public, anon, authenticated;
grant execute on function smsretry.is_undelivered to service_role;

-- ======== schemas/80_is_unsettled.sql ========
-- Whether one of a text's attempts may have gone out and nobody knows. Such a text is never simply sent again.
create or replace function smsretry.is_unsettled(retry_id uuid)
returns boolean language sql stable set search_path = pg_catalog, pg_temp as $$
    select exists (select 1 from public.sms_send_attempts a
                   where a.retry_id = is_unsettled.retry_id and coalesce(a.outcome, 'in_doubt') = 'in_doubt')
$$;

revoke all on function smsretry.is_unsettled from public, anon, authenticated;
grant execute on function smsretry.is_unsettled to service_role;

-- ======== schemas/80_masked.sql ========
-- As much of a number as a person needs to recognize it: its last four digits.
create or replace function smsretry.masked(phone text)
returns text language sql immutable set search_path = pg_catalog, pg_temp as $$
    select case when length(phone) >= 8 then '…' || right(phone, 4) when phone is not null then '…' end
$$;

revoke all on function smsretry.masked from public, anon, authenticated;
grant execute on function smsretry.masked to service_role;

-- ======== schemas/80_numberless.sql ========
-- What somebody wrote, without the phone numbers in it: what an application keeps of an error may quote one, and what is
-- shown of it goes into logs and into Prefect. A number has a plus sign or nine digits in a row, or is written as in the US.
create or replace function smsretry.numberless(words text)
returns text language sql immutable set search_path = pg_catalog, pg_temp as $$
    select regexp_replace(
        numberless.words,
        '\+[0-9][0-9 ().-]{6,}[0-9]|(?<![[:alnum:]-])[0-9]{9,}(?![[:alnum:]])|\(?[0-9]{3}[) .-]{1,2}[0-9]{3}[ .-][0-9]{4}',
        '…', 'g')
$$;

revoke all on function smsretry.numberless from public, anon, authenticated;
grant execute on function smsretry.numberless to service_role;

-- ======== schemas/80_text_state.sql ========
-- Where a text is, in a word for people. The one definition, for status, explain and filters.
--   due | waiting (for its hour, or for its next try) | held (for something that a person can mend) | under_way
--   | in_doubt | sent | failed | cancelled
create or replace function smsretry.text_state(retry public.sms_retry_queue, at timestamptz)
returns text language sql immutable set search_path = pg_catalog, pg_temp as $$
    select case
        when retry.status = 'completed' then 'sent'
        when retry.status in ('failed', 'cancelled') then retry.status
        when retry.in_doubt_since is not null then 'in_doubt'
        when retry.status = 'processing' then 'under_way'
        when retry.held_since is not null then 'held'
        when retry.scheduled_for <= text_state.at then 'due'
        else 'waiting'
    end
$$;

revoke all on function smsretry.text_state from public, anon, authenticated;
grant execute on function smsretry.text_state to service_role;

-- ======== schemas/80_told_of_change.sql ========
-- What a step came to, or would: counted by why a row is left alone (skipped) and by what a person should know (warned),
-- with a sample of the rows. rows: one JSON object a row, with its retry_id, skipped and warned.
create or replace function smsretry.told_of_change(
    rows jsonb[], out matched integer, out changed integer, out skipped jsonb, out warned jsonb, out sample jsonb
)
language sql stable set search_path = pg_catalog, pg_temp as $$
    with told as (
        select r.told, r.told ->> 'skipped' as skip, r.told ->> 'warned' as warn, r.place
        from unnest(told_of_change.rows) with ordinality as r (told, place)
    )
    select count(*)::integer,
           (count(*) filter (where t.skip is null))::integer,
           coalesce((select jsonb_object_agg(s.skip, s.texts) from (
                         select u.skip, count(*) as texts from told u where u.skip is not null group by u.skip) s), '{}'),
           coalesce((select jsonb_object_agg(w.warn, w.texts) from (
                         select u.warn, count(*) as texts from told u
                         where u.warn is not null and u.skip is null group by u.warn) w), '{}'),
           coalesce((select jsonb_agg(f.told order by f.place) from (
                         select u.told, u.place from told u order by u.place limit 20) f), '[]')
    from told t
$$;

revoke all on function smsretry.told_of_change from public, anon, authenticated;
grant execute on function smsretry.told_of_change to service_role;

-- ======== schemas/81_cancel_sms_retries.sql ========
-- For a person: end texts that wait, as no longer wanted, and scheduled sends that are no texts yet. One that is under way or
-- in doubt is left alone: it may be with the customer already. states: scheduled, or as smsretry.text_state; null: all. Without dry_run => false nothing is changed. row_limit and the answer: as for requeue_failed_sms.
create or replace function public.cancel_sms_retries(
    retry_ids uuid[] default null,
    business_id uuid default null,
    customer_id uuid default null,
    code integer default null,
    reason text default null,
    containing text default null,
    since timestamptz default null,
    until timestamptz default null,
    states text[] default null,
    dry_run boolean default true,
    who text default null,
    because text default null,
    row_limit integer default 1000
)
returns table (matched integer, changed integer, skipped jsonb, warned jsonb, sample jsonb)
language plpgsql security invoker set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
declare
    v_now constant timestamptz := smsretry.clock();
    v_row public.sms_retry_queue;
    v_skip text;
    v_told jsonb[] := '{}';
begin
    if (cancel_sms_retries.dry_run is not null and cancel_sms_retries.row_limit between 1 and 10000
        and coalesce(cancel_sms_retries.states, '{}') <@ array['scheduled', 'due', 'waiting', 'held', 'under_way', 'in_doubt']) is not true then
        raise exception 'states are scheduled, due, waiting, held, under_way or in_doubt, row_limit 1 to 10000' using errcode = 'SR422';
    end if;
    if not cancel_sms_retries.dry_run then
        perform smsretry.check_told(cancel_sms_retries.who, cancel_sms_retries.because);
    end if;
    for v_row in
        select c.* from smsretry.chosen(
            array['pending', 'processing'], cancel_sms_retries.retry_ids, cancel_sms_retries.business_id,
            cancel_sms_retries.customer_id, cancel_sms_retries.code, cancel_sms_retries.reason,
            cancel_sms_retries.containing, cancel_sms_retries.since, cancel_sms_retries.until) c
        where cancel_sms_retries.states is null or smsretry.text_state(c, v_now) = any (cancel_sms_retries.states)
        limit cancel_sms_retries.row_limit
    loop
        select * into v_row from public.sms_retry_queue q where q.id = v_row.id for update;
        v_skip := case
            when v_row.status not in ('pending', 'processing') then 'It has changed meanwhile'
            when v_row.in_doubt_since is not null then 'It is unknown whether it went out: evidence is looked for'
            when v_row.status = 'processing' then 'A worker has it at this moment'
        end;
        v_told := v_told || (
            select jsonb_build_object(
                'retry_id', v_row.id, 'business_id', v_row.business_id, 'customer_id', v_row.customer_id,
                'number', smsretry.masked((select c.phone from public.customers c where c.id = v_row.customer_id)),
                'message_class', v_row.message_class, 'attempts', v_row.attempt_count,
                'was', smsretry.numberless(coalesce(v_row.why, v_row.last_error)), 'skipped', v_skip, 'warned', null));
        if cancel_sms_retries.dry_run or v_skip is not null then
            continue;
        end if;
        perform smsretry.close_row(
            v_row, 'cancelled', 'Cancelled by ' || cancel_sms_retries.who || ': ' || cancel_sms_retries.because, null, v_now);
        insert into smsretry.steps (retry_id, taken_at, step, who, because)
        values (v_row.id, v_now, 'cancelled', cancel_sms_retries.who, cancel_sms_retries.because);
    end loop;
    if coalesce('scheduled' = any (cancel_sms_retries.states), true)
        and num_nonnulls(cancel_sms_retries.code, cancel_sms_retries.reason) = 0 then
        v_told := v_told || smsretry.cancel_scheduled(
            cancel_sms_retries.retry_ids, cancel_sms_retries.business_id, cancel_sms_retries.customer_id,
            nullif(btrim(cancel_sms_retries.containing), ''), cancel_sms_retries.since, cancel_sms_retries.until,
            cancel_sms_retries.row_limit - cardinality(v_told), cancel_sms_retries.dry_run,
            'Cancelled by ' || cancel_sms_retries.who || ': ' || cancel_sms_retries.because);
    end if;
    return query select * from smsretry.told_of_change(v_told);
end
$$;

revoke all on function public.cancel_sms_retries from public, anon, authenticated;
grant execute on function public.cancel_sms_retries to service_role;

-- ======== schemas/81_doubt_sms_retries.sql ========
-- For a person, when the database was restored from a backup, and before anything runs: what went out after the backup was
-- taken (since) looks unsent. Put it in doubt, so that it is looked for at Twilio before it is sent again.
-- Concerned is what was in the backup and was due by now: texts that waited, texts that were claimed, and those in doubt,
-- which may have been sent again since. Scheduled sends whose time has come are made texts first. What was begun when the
-- backup was taken is in doubt by recovery.
-- Claim numbers leap, so that no worker from before the restore can write. May be repeated, and must be while it matches
-- row_limit. dry_run and the answer: as for requeue_failed_sms.
create or replace function public.doubt_sms_retries(
    since timestamptz,
    dry_run boolean default true,
    who text default null,
    because text default null,
    row_limit integer default 1000
)
returns table (matched integer, changed integer, skipped jsonb, warned jsonb, sample jsonb)
language plpgsql security invoker set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
declare
    v_now constant timestamptz := smsretry.clock();
    v_row public.sms_retry_queue;
    v_skip text;
    v_told jsonb[] := '{}';
begin
    if (doubt_sms_retries.since <= v_now and doubt_sms_retries.dry_run is not null
        and doubt_sms_retries.row_limit between 1 and 10000) is not true then
        raise exception 'since is when the backup was taken, and not to come; row_limit is 1 to 10000' using errcode = 'SR422';
    end if;
    if not doubt_sms_retries.dry_run then
        perform smsretry.check_told(doubt_sms_retries.who, doubt_sms_retries.because);
        loop
            perform public.queue_scheduled_sms(500, interval '0');
            exit when not found;
        end loop;
    end if;
    for v_row in
        select q.* from public.sms_retry_queue q
        where q.status in ('pending', 'processing') and q.begun_at is null
          and (q.created_at < doubt_sms_retries.since
               or exists (select 1 from public.scheduled_sends s
                          where s.send_log_id = q.send_log_id and s.created_at < doubt_sms_retries.since))
          and (q.scheduled_for <= v_now or q.in_doubt_since is not null or q.status = 'processing')
          and (q.in_doubt_since is null or q.in_doubt_since < doubt_sms_retries.since)
        order by q.scheduled_for, q.id
        limit doubt_sms_retries.row_limit
        for update
    loop
        v_skip := case
            when v_row.status = 'processing' and v_row.claimed_at > doubt_sms_retries.since
                then 'A worker has it at this moment: stop every runner first'
            when v_row.in_doubt_since is null and not exists (
                select 1 from public.customers c where c.id = v_row.customer_id and coalesce(btrim(c.phone), '') <> '')
                then 'Nobody can have texted a customer without a number'
            when exists (select 1 from public.send_logs l where l.id = v_row.send_log_id
                         and smsretry.is_sent(l.provider_message_id, l.status::text)) then 'Its send log says that it was sent'
        end;
        v_told := v_told || jsonb_build_object(
            'retry_id', v_row.id, 'business_id', v_row.business_id, 'customer_id', v_row.customer_id,
            'number', smsretry.masked((select c.phone from public.customers c where c.id = v_row.customer_id)),
            'message_class', v_row.message_class, 'attempts', v_row.attempt_count,
            'was', smsretry.numberless(coalesce(v_row.why, v_row.last_error)), 'skipped', v_skip, 'warned', null);
        if doubt_sms_retries.dry_run or v_skip is not null then
            continue;
        end if;
        perform smsretry.doubt(v_row, doubt_sms_retries.since, v_now);
        insert into smsretry.steps (retry_id, taken_at, step, who, because)
        values (v_row.id, v_now, 'put in doubt', doubt_sms_retries.who, doubt_sms_retries.because);
    end loop;
    return query select * from smsretry.told_of_change(v_told);
end
$$;

revoke all on function public.doubt_sms_retries from public, anon, authenticated;
grant execute on function public.doubt_sms_retries to service_role;

-- ======== schemas/81_requeue_failed_sms.sql ========
-- For a person: put texts that failed back into the queue, due at once. Every check is made again when they are claimed.
-- What is known is kept: message class, attempts so far, errors; each gets more_attempts further ones, and its life counts
-- anew. Its send log says what is true meanwhile: it waits.
-- Without dry_run => false nothing is changed. states: failed, or cancelled as well. row_limit: at most so many, the
-- newest first; call again for the rest.
--   matched: rows that fit · changed: requeued, or what would be · skipped: left alone, by why · warned: requeued though
create or replace function public.requeue_failed_sms(
    retry_ids uuid[] default null,
    business_id uuid default null,
    customer_id uuid default null,
    code integer default null,
    reason text default null,
    containing text default null,
    since timestamptz default null,
    until timestamptz default null,
    states text[] default '{failed}',
    dry_run boolean default true,
    who text default null,
    because text default null,
    more_attempts integer default 3,
    row_limit integer default 1000
)
returns table (matched integer, changed integer, skipped jsonb, warned jsonb, sample jsonb)
language plpgsql security invoker set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
declare
    v_now constant timestamptz := smsretry.clock();
    v_row public.sms_retry_queue;
    v_log public.send_logs;
    v_customer public.customers;
    v_skip text;
    v_warn text;
    v_told jsonb[] := '{}';
begin
    if (requeue_failed_sms.states <@ array['failed', 'cancelled'] and requeue_failed_sms.dry_run is not null
        and requeue_failed_sms.more_attempts between 1 and 100 and requeue_failed_sms.row_limit between 1 and 10000) is not true then
        raise exception 'states are failed or cancelled, more_attempts 1 to 100, row_limit 1 to 10000' using errcode = 'SR422';
    end if;
    if not requeue_failed_sms.dry_run then
        perform smsretry.check_told(requeue_failed_sms.who, requeue_failed_sms.because);
    end if;
    for v_row in
        select c.* from smsretry.chosen(
            requeue_failed_sms.states, requeue_failed_sms.retry_ids, requeue_failed_sms.business_id,
            requeue_failed_sms.customer_id, requeue_failed_sms.code, requeue_failed_sms.reason,
            requeue_failed_sms.containing, requeue_failed_sms.since, requeue_failed_sms.until) c
        limit requeue_failed_sms.row_limit
    loop
        -- The send log first: whoever queues a text locks it, so that no second live row can appear meanwhile.
        select * into v_log from public.send_logs l where l.id = v_row.send_log_id for update;
        select * into v_row from public.sms_retry_queue q where q.id = v_row.id for update;
        select * into v_customer from public.customers c where c.id = v_row.customer_id;
        v_skip := case
            when v_row.status <> all (requeue_failed_sms.states) then 'It has changed meanwhile'
            when v_log.id is null then 'Its send log is gone'
            when v_customer.id is null then 'Its customer is gone'
            when smsretry.is_sent(v_log.provider_message_id, v_log.status::text)
                and not smsretry.is_undelivered(v_log.id, v_log.provider_message_id)
                then 'Its send log says that it was sent'
            when exists (select 1 from public.sms_retry_queue q
                         where q.send_log_id = v_row.send_log_id and q.id <> v_row.id
                           and (q.created_at, q.id) > (v_row.created_at, v_row.id))
                then 'A newer row is of the same text'
            when exists (select 1 from public.sms_retry_queue q
                         where q.send_log_id = v_row.send_log_id and q.id <> v_row.id and q.status in ('pending', 'processing'))
                then 'Another row of the same text waits'
            when smsretry.is_unsettled(v_row.id)
                then 'It is unknown whether it went out: look in the provider''s log, then resolve_sms_doubt'
        end;
        v_warn := case
            when v_customer.sms_consent_status::text is distinct from 'opted_in'
                or exists (select 1 from smsretry.suppressions s
                           where s.number_key = smsretry.number_key(v_row.business_id, v_customer.phone))
                then 'The customer has not opted in: it will be cancelled'
            when v_customer.phone_status in ('invalid', 'not_mobile')
                then 'The number is known to take no texts (' || v_customer.phone_status || ')'
        end;
        v_told := v_told || jsonb_build_object(
            'retry_id', v_row.id, 'business_id', v_row.business_id, 'customer_id', v_row.customer_id,
            'number', smsretry.masked(v_customer.phone), 'message_class', v_row.message_class,
            'attempts', v_row.attempt_count, 'was', smsretry.numberless(v_row.last_error), 'skipped', v_skip, 'warned', v_warn);
        if requeue_failed_sms.dry_run or v_skip is not null then
            continue;
        end if;
        v_row.max_attempts := least(greatest(v_row.max_attempts, v_row.attempt_count + requeue_failed_sms.more_attempts), 1000);
        update public.sms_retry_queue q set max_attempts = v_row.max_attempts where q.id = v_row.id;
        v_row.expires_at := null;
        v_row.rate_limit_count := 0;
        v_row.recover_count := 0;
        v_row.account_refusal_count := 0;
        v_row.reconcile_count := 0;
        v_row.reason := null;
        v_row.why := 'Requeued by ' || requeue_failed_sms.who || ': ' || requeue_failed_sms.because;
        perform smsretry.put_back(v_row, v_now, v_now);
        update public.send_logs l
        set status = default, error_message = null, provider_message_id = null, updated_at = v_now
        where l.id = v_log.id; -- the SID of a message that did not arrive is kept with its attempt
        insert into smsretry.steps (retry_id, taken_at, step, who, because)
        values (v_row.id, v_now, 'requeued', requeue_failed_sms.who, requeue_failed_sms.because);
    end loop;
    return query select * from smsretry.told_of_change(v_told);
end
$$;

revoke all on function public.requeue_failed_sms from public, anon, authenticated;
grant execute on function public.requeue_failed_sms to service_role;

-- ======== schemas/81_scheduled_on_record.sql ========
-- A scheduled send that is no text yet, or never became one, for people: what explain_sms tells. retry_id is its own id,
-- which its send log will have, too. Columns: smsretry.text_on_record.
create or replace view smsretry.scheduled_on_record with (security_invoker = true) as
select s.id as retry_id, s.business_id, b.name as business, s.customer_id, null::uuid as send_log_id,
       smsretry.masked(c.phone) as number, left(c.timezone, 100) as timezone, left(b.timezone, 100) as business_timezone,
       s.message_class,
       case when s.status = 'scheduled' and s.held_since is not null then 'held' else s.status end as state,
       coalesce(s.held_since, s.updated_at) as since, left(smsretry.numberless(s.why), 2000) as why, null::integer as code,
       case when s.status = 'scheduled' then greatest(s.scheduled_for, s.look_at) end as next_at, s.not_after as expires_at,
       0 as attempts, 3 as max_attempts, s.created_at as queued_at,
       left(c.sms_consent_status::text, 40) as consent, c.sms_consent_at as consent_at,
       left(smsretry.numberless(c.sms_consent_source), 200) as consent_source, x.since as suppressed_since,
       left(smsretry.numberless(c.phone_status::text), 40) as phone_status, null::text as send_log_status, null::text as sid,
       '[]'::jsonb as history, '[]'::jsonb as steps,
       case when s.status = 'scheduled' then array['cancel_sms_retries'] else '{}' end::text[] as can,
       smsretry.clock() as asked_at
from public.scheduled_sends s
left join public.businesses b on b.id = s.business_id
left join public.customers c on c.id = s.customer_id and c.business_id = s.business_id
left join smsretry.suppressions x on x.number_key = smsretry.number_key(s.business_id, c.phone)
where s.send_log_id is null and s.status in ('scheduled', 'cancelled', 'failed');

grant select on smsretry.scheduled_on_record to service_role;

-- ======== schemas/81_text_on_record.sql ========
-- A text and all that is known of it, for people: what explain_sms tells. No number is in it but its last four digits, also
-- where the application wrote freely.
-- security_invoker, so that row level security is the reader's.
--   state: smsretry.text_state · since: when that began · next_at: when it is looked at again · history: its attempts ·
--   steps: what people did to it · can: the calls that would change something now · asked_at: the database's clock
create or replace view smsretry.text_on_record with (security_invoker = true) as
select q.id as retry_id, q.business_id, b.name as business, q.customer_id, q.send_log_id,
       smsretry.masked(c.phone) as number, left(c.timezone, 100) as timezone, left(b.timezone, 100) as business_timezone,
       q.message_class, smsretry.text_state(q, smsretry.clock()) as state,
       coalesce(q.in_doubt_since, q.held_since, q.updated_at) as since,
       left(smsretry.numberless(
           case when q.status in ('pending', 'processing') then coalesce(q.why, q.last_error) else q.last_error end), 2000) as why,
       q.error_code as code, case when q.status = 'pending' then q.scheduled_for end as next_at, q.expires_at,
       q.attempt_count as attempts, q.max_attempts, q.created_at as queued_at,
       left(c.sms_consent_status::text, 40) as consent, c.sms_consent_at as consent_at,
       left(smsretry.numberless(c.sms_consent_source), 200) as consent_source, s.since as suppressed_since,
       left(smsretry.numberless(c.phone_status::text), 40) as phone_status,
       left(smsretry.numberless(l.status::text), 40) as send_log_status,
       left(smsretry.found_sid(l.provider_message_id), 40) as sid,
       coalesce((select jsonb_agg(jsonb_build_object(
                     'begun_at', a.begun_at, 'finished_at', a.finished_at, 'number', a.attempt_number,
                     'outcome', coalesce(a.outcome, 'under_way'), 'settled_by', a.settled_by, 'code', a.error_code,
                     'sid', a.twilio_sid, 'rule', a.quiet_hours_rule, 'consent', a.consent_status,
                     'consent_at', a.consent_at, 'consent_source', left(smsretry.numberless(a.consent_source), 200),
                     'worker_died', a.worker_died, 'run_id', a.run_id, 'delivery', a.delivery_status,
                     'delivery_code', a.delivery_code, 'delivery_at', a.delivery_at) order by a.begun_at)
                 from public.sms_send_attempts a where a.retry_id = q.id), '[]') as history,
       coalesce((select jsonb_agg(jsonb_build_object(
                     'taken_at', t.taken_at, 'step', t.step, 'who', t.who, 'because', t.because) order by t.taken_at)
                 from smsretry.steps t where t.retry_id = q.id), '[]') as steps,
       case
           when q.status = 'completed' or l.id is null or c.id is null then '{}'
           when q.status in ('failed', 'cancelled') then
               case when smsretry.is_sent(l.provider_message_id, l.status::text)
                         and not smsretry.is_undelivered(l.id, l.provider_message_id) then '{}'
                    when smsretry.is_unsettled(q.id) then array['resolve_sms_doubt']
                    else array['requeue_failed_sms'] end
           when q.in_doubt_since is not null and q.status = 'pending' then array['resolve_sms_doubt']
           when q.status = 'pending' then array['cancel_sms_retries']
           else '{}'
       end::text[] as can,
       smsretry.clock() as asked_at
from public.sms_retry_queue q
left join public.businesses b on b.id = q.business_id
left join public.customers c on c.id = q.customer_id
left join public.send_logs l on l.id = q.send_log_id
left join smsretry.suppressions s on s.number_key = smsretry.number_key(q.business_id, c.phone);

grant select on smsretry.text_on_record to service_role;

-- ======== schemas/82_explain_sms.sql ========
-- For a person: what happened to a text, why, and what comes next; newest first. Found by one of row, send log, customer or
-- number; a business and the last digits of the number (three at least) find it, too. A number finds the texts of everybody
-- who has it. A scheduled send that is no text yet, or never became one, is found by its id (as row or send log), and by its
-- customer.
-- Columns: smsretry.text_on_record.
create or replace function public.explain_sms(
    retry_id uuid default null,
    send_log_id uuid default null,
    customer_id uuid default null,
    phone text default null,
    business_id uuid default null,
    last_digits text default null,
    row_limit integer default 20
)
returns setof smsretry.text_on_record
language plpgsql stable security invoker set search_path = pg_catalog, pg_temp
-- Planned for what was asked: a generic plan would read the whole table.
set plan_cache_mode = force_custom_plan as $$
#variable_conflict use_column
declare
    v_people uuid[];
    v_ids uuid[];
    v_scheduled uuid[];
begin
    if num_nonnulls(explain_sms.retry_id, explain_sms.send_log_id, explain_sms.customer_id, explain_sms.phone,
                    explain_sms.last_digits) <> 1
        or explain_sms.last_digits is not null
            and (explain_sms.business_id is null or explain_sms.last_digits !~ '^[0-9]{3,15}$')
        or (explain_sms.row_limit between 1 and 200) is not true then
        raise exception 'Say which text, in one way: retry_id, send_log_id, customer_id, phone, or business_id with last_digits (3 digits or more)'
            using errcode = 'SR422';
    end if;
    v_people := case
        when explain_sms.customer_id is not null then array[explain_sms.customer_id]
        when explain_sms.phone is not null then array(select c.id from public.customers c where c.phone = explain_sms.phone)
        when explain_sms.last_digits is not null then array(
            select c.id from public.customers c
            where c.business_id = explain_sms.business_id and c.phone like '%' || explain_sms.last_digits)
    end;
    v_ids := array(
        select q.id from public.sms_retry_queue q
        where (explain_sms.retry_id is null or q.id = explain_sms.retry_id)
          and (explain_sms.send_log_id is null or q.send_log_id = explain_sms.send_log_id)
          and (v_people is null or q.customer_id = any (v_people))
          and (explain_sms.business_id is null or q.business_id = explain_sms.business_id)
        order by q.created_at desc, q.id
        limit explain_sms.row_limit);
    v_scheduled := array(
        select s.id from public.scheduled_sends s
        where s.send_log_id is null and s.status in ('scheduled', 'cancelled', 'failed')
          and (explain_sms.retry_id is null or s.id = explain_sms.retry_id)
          and (explain_sms.send_log_id is null or s.id = explain_sms.send_log_id)
          and (v_people is null or s.customer_id = any (v_people))
          and (explain_sms.business_id is null or s.business_id = explain_sms.business_id)
        order by s.created_at desc, s.id
        limit explain_sms.row_limit);
    return query
    select e.* from (
        select r.* from smsretry.text_on_record r where r.retry_id = any (v_ids)
        union all
        select p.* from smsretry.scheduled_on_record p where p.retry_id = any (v_scheduled)
    ) e
    order by e.queued_at desc, e.retry_id
    limit explain_sms.row_limit;
end
$$;

revoke all on function public.explain_sms from public, anon, authenticated;
grant execute on function public.explain_sms to service_role;

-- ======== schemas/83_preview_sms_retries.sql ========
-- Waiting texts and scheduled sends with all that decides about them, as a claim would hand them out now, and nothing claimed: for decisions
-- that are only told. Due times up to `until`, in pages: after the due time and id of the last row. Or these rows by id.
create or replace function public.preview_sms_retries(
    until timestamptz default null,
    after_due timestamptz default null,
    after_id uuid default null,
    retry_ids uuid[] default null,
    row_limit integer default 500
)
returns setof smsretry.claimed_retry
language plpgsql stable security invoker set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
declare
    v_limit constant integer := least(greatest(coalesce(preview_sms_retries.row_limit, 500), 1), 500);
    v_ids uuid[];
    v_claim smsretry.claimed_retry;
begin
    if num_nonnulls(preview_sms_retries.until, preview_sms_retries.retry_ids) <> 1 then
        raise exception 'until or retry_ids must be given: which texts are to be foreseen' using errcode = 'SR422';
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
        return next v_claim;
    end loop;
end
$$;

revoke all on function public.preview_sms_retries from public, anon, authenticated;
grant execute on function public.preview_sms_retries to service_role;

-- ======== schemas/84_sms_status.sql ========
-- For a person: what is in the queue now, what went out and what ended lately, what is stopped, and the last runs.
--   part: clock (oldest: what the database's clock says) · scheduled (no texts yet; name: waiting, held or late) ·
--   queue (name: a state) · waiting (why, as a category) · held (what for, a line a business) · sent, by outcome, in the last
--   hour · delivery and delivery_lately: texts accepted in the last day, and of those in the last hour, by what became of them
--   (delivered, undelivered, unknown or open) · delivery_hour: the same by hour (oldest: when it began) · delivery_business:
--   the same of those whose fate is known, of the ten businesses of which the smallest share arrives (told: its name) ·
--   delivery_time: seconds from accepted to the report that it was delivered (name: median or 95th percentile; told: the
--   seconds; texts: of how many) · undelivered in the last day (name: Twilio's code, a line a business) · ended,
--   failed or cancelled, by error, in the last day · stopped (sending, or a US state) · run
-- oldest and next_at: of a queue's line, the earliest due time and the next; of others, when it began.
create or replace function public.sms_status()
returns table (part text, name text, business_id uuid, texts bigint, oldest timestamptz, next_at timestamptz, told text)
language plpgsql stable security invoker set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
declare
    v_now constant timestamptz := smsretry.clock();
begin
    return query
    with waiting as (
        -- An index holds all of this: the rows themselves, of which 200,000 may wait, are not read.
        select q.reason, q.attempt_count > 0 as tried, q.held_since is not null as held, q.scheduled_for > v_now as later,
               count(*) as texts, min(q.scheduled_for) as oldest
        from public.sms_retry_queue q where q.status = 'pending' and q.in_doubt_since is null
        group by 1, 2, 3, 4
    ),
    live as materialized (
        -- The states of smsretry.text_state.
        select case when w.held then 'held' when w.later then 'waiting' else 'due' end as state,
               coalesce(w.reason, case when w.tried then 'twilio_error' else 'none' end) as category,
               w.texts, w.oldest, case when w.later then w.oldest end as next_at
        from waiting w
        union all
        select 'in_doubt', 'none', count(*), min(q.scheduled_for), min(q.scheduled_for) filter (where q.scheduled_for > v_now)
        from public.sms_retry_queue q where q.status = 'pending' and q.in_doubt_since is not null having count(*) > 0
        union all
        select case when q.in_doubt_since is not null then 'in_doubt' else 'under_way' end, 'none', count(*), min(q.scheduled_for),
               min(q.scheduled_for) filter (where q.scheduled_for > v_now)
        from public.sms_retry_queue q where q.status = 'processing' group by 1
    ),
    reported as materialized (
        select a.delivery_status, a.begun_at > v_now - interval '1 hour' as lately,
               date_trunc('hour', a.begun_at, 'UTC') as hour, count(*) as texts
        from public.sms_send_attempts a
        where a.begun_at > v_now - interval '1 day' and a.twilio_sid is not null
        group by 1, 2, 3
    ),
    accepted as (
        select case when smsretry.delivery_rank(r.delivery_status) >= 7 then 'delivered'
                    when smsretry.delivery_rank(r.delivery_status) = 6 then 'undelivered'
                    when r.delivery_status = 'unknown' then 'unknown'
                    else 'open' end as fate,
               r.lately, r.hour, r.texts
        from reported r
    ),
    lost as materialized (
        select q.business_id, a.delivery_code, count(*) as texts, min(a.delivery_at) as oldest
        from public.sms_send_attempts a join public.sms_retry_queue q on q.id = a.retry_id
        where a.begun_at > v_now - interval '1 day' and a.twilio_sid is not null
          and a.delivery_status in ('undelivered', 'failed', 'canceled')
        group by q.business_id, a.delivery_code
    ),
    losing as (
        select l.business_id, sum(l.texts)::bigint as undelivered from lost l group by l.business_id
    ),
    arrived as (
        -- The row of a message that arrived ended within the day, so that an index finds it.
        select q.business_id, count(*) as delivered
        from public.sms_retry_queue q join public.sms_send_attempts a on a.retry_id = q.id
        where q.status in ('completed', 'failed', 'cancelled') and q.updated_at > v_now - interval '1 day'
          and q.business_id in (select l.business_id from losing l)
          and a.begun_at > v_now - interval '1 day' and a.twilio_sid is not null and a.delivery_status in ('delivered', 'read')
        group by q.business_id
    ),
    worst as (
        select l.business_id, l.undelivered, coalesce(a.delivered, 0) as delivered, b.name,
               coalesce(a.delivered, 0)::float8 / (l.undelivered + coalesce(a.delivered, 0)) as share
        from losing l
        left join arrived a on a.business_id = l.business_id
        left join public.businesses b on b.id = l.business_id
        where l.undelivered + coalesce(a.delivered, 0) >= 20 -- a share of fewer says nothing
        order by share, l.undelivered desc, l.business_id limit 10
    ),
    taken as (
        -- Not of one that was read: when it was delivered is not kept beside that. The answer to its request was late or
        -- lost if another evidence settled it.
        select count(*) as texts, percentile_cont(array[0.5, 0.95]) within group (order by greatest(
                   a.delivery_at - case a.settled_by when 'response' then a.finished_at else a.begun_at end, '0')) as after
        from public.sms_send_attempts a
        where a.begun_at > v_now - interval '1 day' and a.twilio_sid is not null and a.delivery_status = 'delivered'
    )
    (select 'clock', '', null::uuid, null::bigint, v_now, null::timestamptz, null::text)
    union all
    (select 'scheduled', case when s.held_since is not null then 'held' when s.scheduled_for <= v_now then 'late' else 'waiting' end,
            null::uuid, count(*), min(s.scheduled_for), min(s.scheduled_for) filter (where s.scheduled_for > v_now), null::text
     from public.scheduled_sends s where s.status = 'scheduled' group by 2 order by 2)
    union all
    (select 'queue', l.state, null::uuid, sum(l.texts)::bigint, min(l.oldest), min(l.next_at), null::text
     from live l group by l.state order by l.state)
    union all
    (select 'waiting', l.category, null::uuid, sum(l.texts)::bigint, min(l.oldest), min(l.next_at), null::text
     from live l where l.state = 'waiting' group by l.category order by l.category)
    union all
    (select 'held', left(q.why, 200), q.business_id, count(*), min(q.held_since), min(q.scheduled_for), b.name
     from public.sms_retry_queue q left join public.businesses b on b.id = q.business_id
     where q.held_since is not null and q.status in ('pending', 'processing')
     group by left(q.why, 200), q.business_id, b.name order by count(*) desc limit 50)
    union all
    (select 'sent', coalesce(a.outcome, 'under_way'), null::uuid, count(*), min(a.begun_at), null::timestamptz, null::text
     from public.sms_send_attempts a where a.begun_at > v_now - interval '1 hour' group by 2 order by 2)
    union all
    (select 'delivery', d.fate, null::uuid, sum(d.texts)::bigint, null::timestamptz, null::timestamptz, null::text
     from accepted d group by d.fate order by d.fate)
    union all
    (select 'delivery_lately', d.fate, null::uuid, sum(d.texts)::bigint, null::timestamptz, null::timestamptz, null::text
     from accepted d where d.lately group by d.fate order by d.fate)
    union all
    (select 'delivery_hour', d.fate, null::uuid, sum(d.texts)::bigint, d.hour, null::timestamptz, null::text
     from accepted d group by d.hour, d.fate order by d.hour, d.fate)
    union all
    (select 'delivery_business', f.fate, w.business_id, f.texts, null::timestamptz, null::timestamptz, w.name
     from worst w cross join lateral (values ('delivered', w.delivered), ('undelivered', w.undelivered)) as f (fate, texts)
     order by w.share, w.undelivered desc, w.business_id, f.fate)
    union all
    (select 'delivery_time', v.name, null::uuid, t.texts, null::timestamptz, null::timestamptz, round(extract(epoch from v.after), 1)::text
     from taken t cross join lateral (values ('median', t.after[1]), ('95th percentile', t.after[2])) as v (name, after)
     where t.texts > 0)
    union all
    (select 'undelivered', coalesce(l.delivery_code::text, 'without a code'), l.business_id, l.texts, l.oldest,
            null::timestamptz, b.name
     from lost l left join public.businesses b on b.id = l.business_id
     order by l.texts desc limit 50)
    union all
    (select 'ended', e.status, null::uuid, count(*), min(e.updated_at), null::timestamptz,
            smsretry.numberless(left(e.last_error, 200))
     from public.sms_retry_queue e
     where e.status in ('completed', 'failed', 'cancelled') and e.updated_at > v_now - interval '1 day' and e.status <> 'completed'
     group by e.status, left(e.last_error, 200) order by e.status desc, count(*) desc limit 50)
    union all
    (select 'stopped', 'sending', null::uuid, null::bigint, c.opened_at, null::timestamptz, c.why from smsretry.circuit c)
    union all
    (select 'stopped', s.state, null::uuid, null::bigint, s.stopped_at, null::timestamptz, s.why
     from smsretry.stopped_states s order by s.state)
    union all
    (select 'run', r.id::text, null::uuid, null::bigint, r.started_at, r.finished_at,
            coalesce(r.told, case when r.interrupted_at is not null then 'It was interrupted' else 'It is under way' end)
     from smsretry.runs r order by r.started_at desc limit 5);
end
$$;

revoke all on function public.sms_status from public, anon, authenticated;
grant execute on function public.sms_status to service_role;

-- ======== schemas/85_check_sms_retries.sql ========
-- For an uptime monitor: 'ok …', or an error that PostgREST answers with HTTP 503 and that says what is wrong. Asks whether
-- texts are overdue, queued or not, sending is stopped, or no run has finished lately; each within max_minutes.
-- security definer, so that an owner may let a role call it that may do nothing else. It tells numbers only.
create or replace function public.check_sms_retries(max_minutes integer default 10)
returns text language plpgsql stable security definer set search_path = pg_catalog, pg_temp as $$
declare
    v_now constant timestamptz := smsretry.clock();
    v_since constant timestamptz := v_now - make_interval(mins => greatest(coalesce(max_minutes, 10), 1));
    v_overdue bigint;
    v_oldest timestamptz;
    v_unqueued bigint;
    v_circuit text;
    v_run timestamptz;
    v_wrong text;
begin
    select count(*), min(q.scheduled_for) into v_overdue, v_oldest
    from public.sms_retry_queue q
    where q.status = 'pending' and q.in_doubt_since is null and q.scheduled_for <= v_since;
    select count(*) into v_unqueued
    from public.scheduled_sends s where s.status = 'scheduled' and s.held_since is null and s.scheduled_for <= v_since;
    select c.why into v_circuit from smsretry.circuit c;
    select max(r.finished_at) into v_run from smsretry.runs r where r.started_at > v_now - interval '7 days';
    v_wrong := concat_ws(' · ',
        case when v_overdue > 0 then v_overdue || ' texts are overdue, the oldest by '
            || floor(extract(epoch from v_now - v_oldest) / 60) || ' minutes' end,
        case when v_unqueued > 0 then v_unqueued || ' scheduled sends are overdue and not queued' end,
        'sending is stopped: ' || v_circuit,
        case when v_run is null then 'no run has finished in 7 days'
             when v_run <= v_since then 'no run has finished for ' || floor(extract(epoch from v_now - v_run) / 60) || ' minutes' end);
    if v_wrong <> '' then
        raise exception '%', v_wrong using errcode = 'PT503', hint = 'Run `smsretry status`, then `smsretry doctor`.';
    end if;
    return 'ok, last run finished ' || to_char(v_run at time zone 'UTC', 'YYYY-MM-DD HH24:MI:SS') || ' UTC';
end
$$;

revoke all on function public.check_sms_retries from public, anon, authenticated;
grant execute on function public.check_sms_retries to service_role;

-- ======== schemas/86_prune_sms_history.sql ========
-- Delete one batch of what ended more than keep_days ago: texts with their attempts and steps, and the record of runs.
-- Called until it deletes nothing, so that no transaction is long. What opted out stays suppressed, and send logs are the
-- application's, as are scheduled sends. A text whose fate is unknown is kept. So are, for 90 days at least, the names of
-- incoming STOPs: Twilio's signature never expires, and by them an old webhook is known that somebody sends again. Those of
-- STARTs are kept for good: one that is sent again must never undo a later STOP.
-- security definer: nobody else may delete history.
create or replace function public.prune_sms_history(keep_days integer default 90, batch integer default 1000)
returns table (texts integer, attempts integer, runs integer)
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
declare
    v_before timestamptz;
    v_ids uuid[];
begin
    if (prune_sms_history.keep_days between 7 and 36500 and prune_sms_history.batch between 1 and 10000) is not true then
        raise exception 'keep_days is 7 or more, batch 1 to 10000' using errcode = 'SR422',
            hint = 'The last days are evidence: texts in doubt are settled by them, and daily caps count them.';
    end if;
    v_before := smsretry.clock() - make_interval(days => prune_sms_history.keep_days);
    v_ids := array(
        select q.id from public.sms_retry_queue q
        where q.status in ('completed', 'failed', 'cancelled') and q.updated_at < v_before
          and not smsretry.is_unsettled(q.id)
        order by q.updated_at limit prune_sms_history.batch
        for update skip locked);
    select count(*) into attempts from public.sms_send_attempts a where a.retry_id = any (v_ids);
    delete from public.sms_retry_queue q where q.id = any (v_ids);
    get diagnostics texts = row_count;
    delete from smsretry.runs r where r.id = any (array(
        select o.id from smsretry.runs o where o.started_at < v_before order by o.started_at limit prune_sms_history.batch));
    get diagnostics runs = row_count;
    delete from smsretry.inbound_texts t where t.twilio_sid = any (array(
        select o.twilio_sid from smsretry.inbound_texts o
        where o.said = 'STOP' and o.heard_at < least(v_before, smsretry.clock() - interval '90 days')
        order by o.heard_at limit 10 * prune_sms_history.batch));
    return next;
end
$$;

revoke all on function public.prune_sms_history from public, anon, authenticated;
grant execute on function public.prune_sms_history to service_role;

-- ======== schemas/90_check_sms_retry_setup.sql ========
-- What is right, what is not and what to do about it: for `smsretry doctor`. Reads only.
-- wanted: what the caller's version of the package makes, by kind: functions ([name, md5 of the body]); columns and
-- constraints ([table, name, definition]); indexes, triggers, policies and the grants of service_role ([table, name]).
create or replace function public.check_sms_retry_setup(wanted jsonb)
returns table (subject text, ok boolean, advice text)
language sql stable security invoker set search_path = pg_catalog, pg_temp as $$
    with functions (name, body) as (
        select f.value ->> 0, f.value ->> 1 from jsonb_array_elements(check_sms_retry_setup.wanted -> 'functions') f
    ),
    made as (
        select f.name, count(p.oid) as found, bool_and(md5(p.prosrc) = f.body) as ours,
               bool_and(has_function_privilege('service_role', p.oid, 'execute')) as by_service,
               bool_or(has_function_privilege('anon', p.oid, 'execute') or has_function_privilege('authenticated', p.oid, 'execute')) as by_others
        from functions f
        left join pg_catalog.pg_proc p
            on p.proname = split_part(f.name, '.', 2) and p.pronamespace = to_regnamespace(split_part(f.name, '.', 1))
        group by f.name
    ),
    parts (kind, in_table, relation, name, definition) as (
        select k.key, e.value ->> 0, to_regclass(e.value ->> 0), e.value ->> 1, e.value ->> 2
        from jsonb_each(check_sms_retry_setup.wanted) k
        cross join jsonb_array_elements(k.value) e
        where k.key <> 'functions'
    ),
    missing (kind, in_table, name, definition) as (
        select p.kind, p.in_table, p.name, p.definition
        from parts p
        where p.relation is not null and not coalesce(case p.kind
            when 'columns' then exists (
                select 1 from pg_attribute a where a.attrelid = p.relation and a.attname = p.name and not a.attisdropped)
            when 'constraints' then exists (
                select 1 from pg_constraint k where k.conrelid = p.relation and k.conname = p.name)
            when 'indexes' then exists (
                select 1 from pg_index i join pg_class c on c.oid = i.indexrelid
                where i.indrelid = p.relation and c.relname = p.name and i.indisvalid)
            when 'triggers' then exists (
                select 1 from pg_trigger t where t.tgrelid = p.relation and t.tgname = p.name and t.tgenabled <> 'D')
            when 'policies' then exists (
                select 1 from pg_policy y where y.polrelid = p.relation and y.polname = p.name)
            when 'grants' then has_table_privilege('service_role', p.relation, p.name)
        end, false)
    ),
    tables as (
        select r.oid, r.relname, r.relrowsecurity
        from unnest(array['businesses', 'customers', 'send_logs', 'scheduled_sends', 'sms_retry_queue', 'sms_send_attempts']) with ordinality as t (name, place)
        join pg_catalog.pg_class r on r.relname = t.name and r.relnamespace = 'public'::regnamespace
        order by t.place
    ),
    findings (subject, ok, advice) as (
        select 'functions', false, 'no names were given, so no function was checked'
        where not exists (select 1 from functions)
        union all
        select 'functions (' || count(*) || ')', true, null
        from made m
        where m.name like 'public.%'
        having count(*) > 0 and bool_and(m.found = 1 and m.by_service and not m.by_others and m.ours)
        union all
        (select 'function ' || split_part(m.name, '.', 2), false,
                case when m.found = 0 then 'missing: run `smsretry migrate`, with --again if it was applied before'
                     when m.found > 1 then 'exists ' || m.found || ' times: drop the versions that are not smsretry''s'
                     when not m.by_service then 'service_role may not call it: run `smsretry migrate --again`'
                     when m.by_others then 'anon or authenticated may call it: revoke execute, or run `smsretry migrate --again`'
                     else 'is another version''s, or somebody changed it: run `smsretry migrate`, with --again if it was applied before' end
         from made m
         where m.name like 'public.%' and not coalesce(m.found = 1 and m.by_service and not m.by_others and m.ours, false)
         order by m.name)
        union all
        select 'functions of the schema smsretry', count(*) filter (where m.found <> 1 or not m.ours) = 0,
               'missing, double, changed or another version''s: '
                   || string_agg(split_part(m.name, '.', 2), ', ' order by m.name) filter (where m.found <> 1 or not m.ours)
                   || '. Run `smsretry migrate`, with --again if it was applied before'
        from made m
        where m.name like 'smsretry.%'
        having count(*) > 0
        union all
        select 'tables and views', count(*) filter (where p.relation is null) = 0,
               'missing: ' || string_agg(distinct replace(p.in_table, 'public.', ''), ', ') filter (where p.relation is null)
                   || '. Run `smsretry migrate --again`'
        from parts p
        having count(*) > 0
        union all
        select case k.kind when 'grants' then 'grants of service_role' else k.kind end, count(m.name) = 0,
               'missing or switched off: '
                   || string_agg(m.name || ' of ' || split_part(m.in_table, '.', 2), ', ' order by m.in_table, m.name)
                   -- What stood in the statement that made the table is made with the table only.
                   || case when min(m.definition) is null then '. Run `smsretry migrate --again`'
                           else '. Run: ' || string_agg('alter table ' || m.in_table || ' add ' || rtrim(m.kind, 's') || ' '
                                    || m.name || ' ' || m.definition, '; ' order by m.in_table, m.name) end
        from (select distinct p.kind from parts p) k
        left join missing m on m.kind = k.kind
        group by k.kind
        union all
        select 'row level security of ' || r.relname, r.relrowsecurity,
               'is off: anyone with the anon key may read it. Run: alter table public.' || r.relname || ' enable row level security'
        from tables r
        union all
        select 'service_role', not row_security_active(r.oid),
               'is bound by row level security, so it sees no text. Run: alter role service_role bypassrls'
        from tables r
        where r.relname = 'sms_retry_queue'
        union all
        select 'key of the hashed numbers', exists (select 1 from smsretry.secret),
               'is gone (smsretry.secret is empty), so nobody who opted out can be recognized and nothing is sent: restore '
                   || 'the row from a backup, or run `smsretry migrate --again`, which makes another one and forgets who opted out'
        union all
        select 'only service_role changes ' || r.relname,
               not exists (
                   select 1 from unnest(array['anon', 'authenticated']) as g (role)
                   where has_table_privilege(g.role, r.oid, 'update, delete, truncate')
                      or has_any_column_privilege(g.role, r.oid, 'update')),
               'anon or authenticated may update or delete: revoke it, or run `smsretry migrate --again`'
        from tables r
        where r.relname in ('sms_retry_queue', 'sms_send_attempts')
        union all
        select 'rules of the state machine', count(*) filter (where not k.convalidated) = 0,
               'some rows break ' || string_agg(k.conname, ', ') filter (where not k.convalidated)
                   || ': mend or delete them, then run `smsretry migrate --again`'
        from pg_catalog.pg_constraint k
        where k.contype = 'c'
          and (k.conrelid = to_regclass('public.sms_retry_queue') and k.conname like 'sms\_retry\_queue\_%'
               or k.conrelid = to_regclass('public.scheduled_sends') and k.conname like 'scheduled\_sends\_%')
    )
    select f.subject, f.ok, case when not f.ok then f.advice end from findings f
    union all -- warnings: set by somebody or passing, and easily forgotten
    select 'policy "' || y.polname || '" of ' || r.relname, true,
           'lets ' || string_agg(case g.rolname when 'anon' then 'anyone with the anon key' else 'every signed-in user' end, ' and '
                                 order by g.rolname) || ' read all rows: drop or narrow it, unless that is meant'
    from tables r
    join pg_policy y on y.polrelid = r.oid and y.polpermissive and y.polcmd in ('r', '*')
    join pg_roles g on g.rolname in ('anon', 'authenticated') and (y.polroles @> array[0::oid] or g.oid = any(y.polroles))
    where pg_get_expr(y.polqual, y.polrelid) = 'true' and has_table_privilege(g.oid, r.oid, 'select')
    group by y.polname, r.relname
    union all
    select 'policies of scheduled_sends', true,
           'let nobody who is signed in read a row, although a grant does: revoke the grant, or run: create policy '
               || '"Owners read their scheduled sends" on public.scheduled_sends for select to authenticated '
               || 'using (business_id in (select b.id from public.businesses b where b.user_id = (select auth.uid())))'
    from tables r
    where r.relname = 'scheduled_sends' and r.relrowsecurity and has_table_privilege('authenticated', r.oid, 'select')
      and not exists (
          select 1 from pg_policy y join pg_roles g on g.rolname = 'authenticated'
          where y.polrelid = r.oid and y.polpermissive and y.polcmd in ('r', '*')
            and (y.polroles @> array[0::oid] or g.oid = any(y.polroles)))
    union all
    select 'sending', true, 'had stopped: ' || c.why from smsretry.circuit c
    union all
    select 'texts to ' || s.state, true, 'are stopped since ' || to_char(s.stopped_at at time zone 'UTC', 'YYYY-MM-DD HH24:MI')
           || ' UTC (' || s.why || '); `smsretry stop ' || s.state || ' --lift` lets them go'
    from smsretry.stopped_states s
$$;

revoke all on function public.check_sms_retry_setup from public, anon, authenticated;
grant execute on function public.check_sms_retry_setup to service_role;

-- ======== schemas/91_describe_sms_tables.sql ========
-- What the catalog says of the five tables that smsretry shares with the application, for `smsretry migrate` before it
-- changes anything and for `smsretry doctor`. What must be so is in smsretry/adapters/supabase/shapes.py. Reads only.
--   kind: table (type: its relkind)
--     | column (filled: it has a default, or writes itself; definition: an enum's labels)
--     | unique (name: of the one column) | check (of one column; name: of the constraint)
--     | trigger (before each inserted or updated row; definition: its function's source) | rule (it replaces a write)
--     | dependent (a view, say, on a function of the application's that smsretry replaces; definition: which)
create or replace function public.describe_sms_tables()
returns table (relation text, kind text, name text, type text, not_null boolean, filled boolean, definition text)
language sql stable security invoker set search_path = pg_catalog, pg_temp as $$
    with shared as (
        select c.oid as id, c.relname::text as relation, c.relkind
        from pg_class c
        where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p', 'v', 'm', 'f')
          and c.relname in ('businesses', 'customers', 'send_logs', 'scheduled_sends', 'sms_retry_queue')
    )
    select s.relation, 'table', s.relation, s.relkind::text, null::boolean, null::boolean, null::text from shared s
    union all
    select s.relation, 'column', a.attname::text, format_type(a.atttypid, a.atttypmod), a.attnotnull,
           a.atthasdef or a.attidentity <> '',
           case when a.attgenerated <> '' then 'generated'
                else (select 'enum ' || string_agg(quote_literal(e.enumlabel), ', ' order by e.enumsortorder)
                      from pg_enum e where e.enumtypid = a.atttypid) end
    from shared s
    join pg_attribute a on a.attrelid = s.id and a.attnum > 0 and not a.attisdropped
    union all
    select s.relation, 'unique', a.attname::text, null, null, null, null
    from shared s
    join pg_index i on i.indrelid = s.id and i.indisunique and i.indisvalid and i.indpred is null and i.indnkeyatts = 1
    join pg_attribute a on a.attrelid = s.id and a.attnum = i.indkey[0]
    union all
    select s.relation, 'check', k.conname::text, null, null, null, pg_get_constraintdef(k.oid)
    from shared s
    join pg_constraint k on k.conrelid = s.id and k.contype = 'c' and cardinality(k.conkey) = 1
    union all
    select s.relation, 'trigger', t.tgname::text, null, null, null, p.prosrc
    from shared s
    -- The bits of tgtype: 1 for each row, 2 before, 4 insert, 16 update.
    join pg_trigger t on t.tgrelid = s.id and not t.tgisinternal and t.tgenabled <> 'D'
        and t.tgtype & 3 = 3 and t.tgtype & (case s.relation when 'sms_retry_queue' then 20 else 16 end) <> 0
    join pg_proc p on p.oid = t.tgfoid
    union all
    select s.relation, 'rule', r.rulename::text, null, null, null, pg_get_ruledef(r.oid)
    from shared s
    join pg_rewrite r on r.ev_class = s.id and r.is_instead and r.ev_type in ('2', '3')
    union all
    select 'sms_retry_queue', 'dependent',
           regexp_replace(pg_describe_object(d.classid, d.objid, d.objsubid), '^rule \S+ on ', ''), null, null, null,
           p.oid::regprocedure::text
    from pg_proc p
    join pg_depend d on d.refclassid = 'pg_proc'::regclass and d.refobjid = p.oid and d.deptype = 'n'
    where p.pronamespace = 'public'::regnamespace
      and p.proname in ('claim_due_sms_retries', 'recover_stuck_sms_retries', 'queue_sms_retry')
      and not coalesce('search_path=pg_catalog, pg_temp' = any (p.proconfig), false)
$$;

revoke all on function public.describe_sms_tables from public, anon, authenticated;
grant execute on function public.describe_sms_tables to service_role;

-- ======== schemas/92_sample_text.sql ========
-- A text to rehearse with, at a business that is there: made where the application's tables let it be made, and otherwise
-- one of its own that is not sent, waits for nobody and is locked by nobody. Null: there is none.
-- Only to be called inside a block that is rolled back. security definer, because service_role need not be able to insert
-- what is the application's.
create or replace function smsretry.sample_text()
returns uuid language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    v_business uuid;
    v_customer uuid := gen_random_uuid();
    v_log uuid := gen_random_uuid();
begin
    select b.id into v_business from public.businesses b limit 1;
    if v_business is null then
        v_business := gen_random_uuid();
        insert into public.businesses (id, user_id, name, timezone)
        values (v_business, gen_random_uuid(), 'Rehearsal', 'America/New_York');
    end if;
    insert into public.customers (id, business_id, phone, timezone, sms_consent_status, sms_consent_at)
    values (v_customer, v_business, '+15005550006', 'America/New_York', 'opted_in', smsretry.clock());
    insert into public.send_logs (id, business_id, customer_id, channel, subject)
    values (v_log, v_business, v_customer, 'sms', 'Rehearsal');
    return v_log;
exception when others then
    select l.id, c.id into v_log, v_customer
    from public.send_logs l
    join public.customers c on c.id = l.customer_id and c.business_id = l.business_id
    where l.channel = 'sms' and not smsretry.is_sent(l.provider_message_id, l.status::text)
      and not exists (select 1 from public.sms_retry_queue q
                      where q.send_log_id = l.id and q.status in ('pending', 'processing'))
    limit 1 for update of l, c skip locked;
    update public.customers c
    set phone = '+15005550006', sms_consent_status = 'opted_in', sms_consent_at = smsretry.clock()
    where c.id = v_customer;
    return v_log;
end
$$;

revoke all on function smsretry.sample_text from public, anon, authenticated;
grant execute on function smsretry.sample_text to service_role;

-- ======== schemas/93_try_sms_retry_queue.sql ========
-- Rehearse for `smsretry doctor` and at the end of `smsretry migrate`: a sample text is queued, claimed, begun and ends
-- completed, another one failed, a third one cancelled by an opt-out. Each is rolled back: no row stays, nobody sees one,
-- and no row of the application's queue is touched.
-- ok is false if a step failed, and advice says which. If it cannot be tried now, advice says so and ok is true.
create or replace function public.try_sms_retry_queue()
returns table (subject text, ok boolean, advice text)
language plpgsql security invoker set search_path = pg_catalog, pg_temp
set lock_timeout = '2s' as $$
declare
    v_end text;
    v_step text;
    v_log_id uuid;
    v_log public.send_logs;
    v_retry_id uuid;
    v_claim smsretry.claimed_retry;
    v_attempt_id constant uuid := gen_random_uuid();
    v_said text;
    v_state text;
    v_message text;
begin
    subject := 'rehearsal of queue, claim, begin and finish';
    foreach v_end in array array['completed', 'failed', 'cancelled'] loop
        begin
            v_step := 'making a sample text';
            v_log_id := smsretry.sample_text();
            select * into v_log from public.send_logs l where l.id = v_log_id;
            if v_log.id is null then
                raise exception 'there is no text to try it with yet' using errcode = 'SR000';
            end if;
            v_step := 'queue_sms_retry';
            select q.retry_id, q.result into v_retry_id, v_said from public.queue_sms_retry(v_log.id) q;
            if v_said <> 'queued' then
                raise exception 'it answered %', v_said using errcode = 'SR500';
            end if;
            if v_end = 'cancelled' then
                v_step := 'record_sms_consent';
                select s.cancelled::text into v_said
                from public.record_sms_consent('+15005550006', 'opted_out', 'rehearsal', v_log.business_id) s;
                if v_said = '0' then
                    raise exception 'an opt-out cancelled nothing' using errcode = 'SR500';
                end if;
            else
                v_step := 'claim_due_sms_retries';
                perform 1 from public.claim_due_sms_retries(0, true); -- none: the due rows are not ours to take
                v_step := 'claim_sms_retry';
                select * into v_claim from public.claim_sms_retry(v_retry_id);
                if v_claim.id is null then
                    raise exception 'it took no row' using errcode = 'SR500';
                end if;
                v_step := 'begin_sms_attempt';
                select b.answer || coalesce(': ' || b.why, '') into v_said
                from public.begin_sms_attempt(
                    retry_id => v_claim.id, claim_no => v_claim.claim_no, attempt_id => v_attempt_id,
                    send_before => smsretry.clock() + interval '1 hour', quiet_hours_rule => 'rehearsal') b;
                if v_said <> 'go' then
                    raise exception 'it answered %', v_said using errcode = 'SR500';
                end if;
                v_step := 'finish_sms_attempt';
                select f.status into v_said
                from public.finish_sms_attempt(
                    retry_id => v_claim.id, claim_no => v_claim.claim_no, attempt_id => v_attempt_id,
                    outcome => case v_end when 'failed' then 'rejected' else 'accepted' end, next_status => v_end,
                    error => case v_end when 'failed' then 'Rehearsal' end,
                    twilio_sid => case v_end when 'completed' then 'SM' || replace(v_attempt_id::text, '-', '') end) f
                where f.applied;
                if v_said is distinct from v_end then
                    raise exception 'the text did not end %', v_end using errcode = 'SR500';
                end if;
            end if;
            v_step := null;
            raise exception 'rolled back' using errcode = 'SR000';
        exception when others then
            get stacked diagnostics v_state = returned_sqlstate, v_message = message_text;
        end;
        if v_step is not null then
            -- No text to try with, or somebody else's lock: nothing is known to be wrong.
            ok := v_state in ('SR000', '55P03', '40P01');
            advice := case when ok then 'could not be tried: ' else 'fails: ' end || v_step || ' (' || v_state || '): '
                || left(v_message, 300)
                || case when v_state = '42501' then '. A grant is missing: run `smsretry migrate --again`' else '' end;
            return next;
            return;
        end if;
    end loop;
    ok := true;
    return next;
end
$$;

revoke all on function public.try_sms_retry_queue from public, anon, authenticated;
grant execute on function public.try_sms_retry_queue to service_role;

-- ======== schemas/94_count_sms_answer.sql ========
-- As many rows as are asked for, at most 500: whoever counts them in the answer sees whether the project's max-rows cuts
-- off a claim's answer.
create or replace function public.count_sms_answer(row_count integer)
returns setof integer language sql stable security invoker set search_path = pg_catalog, pg_temp as $$
    select generate_series(1, least(count_sms_answer.row_count, 500))
$$;

revoke all on function public.count_sms_answer from public, anon, authenticated;
grant execute on function public.count_sms_answer to service_role;

-- ======== PostgREST learns of the change at once ========
notify pgrst, 'reload schema';
