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

-- For the daily cap and for an opt-out, which belong to a number: several customers may share one.
create index if not exists customers_phone on public.customers (phone);

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
create index if not exists send_logs_customer_id on public.send_logs (customer_id);

grant select, update on public.send_logs to service_role; -- update: what became of the text

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
    error_code integer,
    message_class text not null default 'marketing',
    why text,
    -- A row that the application inserts lives 48 hours. queue_sms_retry sets the time itself.
    expires_at timestamptz not null default (smsretry.clock() + interval '48 hours'),

    constraint sms_retry_queue_status check (status in ('pending', 'processing', 'completed', 'failed', 'cancelled')),
    constraint sms_retry_queue_message_class check (message_class in ('marketing', 'transactional')),
    constraint sms_retry_queue_reason check (reason in ('quiet_hours', 'twilio_error', 'rate_limit')),
    -- Attempts count the sends that were made. A row that may make none has no business being queued.
    constraint sms_retry_queue_attempts check (attempt_count >= 0 and max_attempts >= 1),
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
comment on column public.sms_retry_queue.recover_count is 'How many workers died while they held this row, before its send began.';
comment on column public.sms_retry_queue.error_code is 'Twilio''s code for last_error, when it came from Twilio.';
comment on column public.sms_retry_queue.message_class is 'marketing: every quiet-hours rule binds. transactional: 08:00-21:00 where the customer is, and no state''s rule.';
comment on column public.sms_retry_queue.why is 'Why the row waits for scheduled_for, in words and with the rule. Failures are in last_error.';
comment on column public.sms_retry_queue.attempt_count is 'Sends made from the queue. A deferral, the recovery of a claim that was not begun and a request that was never sent do not count.';

-- One live row a text.
create unique index if not exists sms_retry_queue_one_live_row
    on public.sms_retry_queue (send_log_id) where status in ('pending', 'processing');
-- The claim walks it business by business, in order of due time, and never meets a row that is not due.
create index if not exists sms_retry_queue_due
    on public.sms_retry_queue (business_id, scheduled_for, id) where status = 'pending' and in_doubt_since is null;
create index if not exists sms_retry_queue_in_doubt
    on public.sms_retry_queue (scheduled_for, id) where status = 'pending' and in_doubt_since is not null;
-- The texts of a person, for the daily cap and for an opt-out.
create index if not exists sms_retry_queue_customer on public.sms_retry_queue (customer_id);
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
-- The original columns and no other: claim number and lease are not a tenant's to set.
grant insert (id, business_id, send_log_id, customer_id, status, attempt_count, max_attempts, scheduled_for,
              last_attempted_at, last_error, reason, created_at, updated_at)
    on public.sms_retry_queue to authenticated;
-- History is kept: a text that is no longer wanted is cancelled, not deleted.
revoke delete, truncate on public.sms_retry_queue from service_role;
grant select, insert, update on public.sms_retry_queue to service_role;

-- ======== schemas/14_sms_send_attempts.sql ========
-- One row a send that was begun. Append-only: begin inserts it, it is settled once, and no function deletes it.
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
    constraint sms_send_attempts_one_per_claim unique (retry_id, claim_no)
);
comment on table public.sms_send_attempts is 'Every send that was begun and what became of it. Holds no phone number and no body.';
comment on column public.sms_send_attempts.attempt_number is '1, 2, 3 … for retries; 0 for a text''s first send by send_sms.';
comment on column public.sms_send_attempts.consent_status is 'With consent_at and consent_source: the customer''s consent as it was read when the send began.';

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

grant select, insert, update, delete on smsretry.circuit to service_role;

-- ======== schemas/16_stopped_states.sql ========
-- US states to which no marketing text goes until somebody lifts the stop: some forbid it during a declared emergency.
create table if not exists smsretry.stopped_states (
    state text primary key check (state ~ '^[A-Z]{2}$'),
    stopped_at timestamptz not null,
    why text not null
);

grant select, insert, update, delete on smsretry.stopped_states to service_role;

-- ======== schemas/20_claimed_retry.sql ========
-- What a claim hands to its worker: a row with everything that decides about it. security_invoker, so that row level
-- security is the caller's.
create or replace view smsretry.claimed_retry with (security_invoker = true) as
select q.id, q.business_id, q.send_log_id, q.customer_id, q.status, q.attempt_count, q.max_attempts,
       q.scheduled_for, q.last_attempted_at, q.last_error, q.reason, q.created_at, q.updated_at,
       q.claim_no, q.claimed_at, q.expires_at,
       q.attempt_id, q.in_doubt_since, q.reconcile_count, q.rate_limit_count, q.message_class,
       (select a.begun_at from public.sms_send_attempts a where a.id = q.attempt_id) as attempt_begun_at,
       exists (select 1 from smsretry.circuit) as circuit_open,
       array(select s.state from smsretry.stopped_states s order by s.state) as stopped_states,
       l.id is not null as send_log_found, l.subject as body, l.status as send_log_status,
       l.provider_message_id ->> 'twilio_sid' as known_sid,
       c.id is not null as customer_found, c.phone, c.timezone, c.sms_consent_status,
       b.timezone as business_timezone, b.sms_hours as business_hours
from public.sms_retry_queue q
left join public.send_logs l on l.id = q.send_log_id
left join public.customers c on c.id = q.customer_id
left join public.businesses b on b.id = q.business_id;

grant select on smsretry.claimed_retry to service_role;

-- ======== schemas/30_is_sent.sql ========
-- Whether a send log's provider_message_id says that Twilio has the text.
create or replace function smsretry.is_sent(provider_message_id jsonb)
returns boolean language sql immutable set search_path = pg_catalog, pg_temp as $$
    select coalesce(provider_message_id ? 'twilio_sid', false)
$$;

revoke all on function smsretry.is_sent from public, anon, authenticated;
grant execute on function smsretry.is_sent to service_role;

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
-- keeps the attempt that it is in doubt about.
create or replace function smsretry.take(ids uuid[], at timestamptz)
returns setof smsretry.claimed_retry
language plpgsql set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
begin
    update public.sms_retry_queue q
    set status = 'processing', claim_no = q.claim_no + 1, claimed_at = take.at, begun_at = null,
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
        rate_limit_count = put_back.retry.rate_limit_count, reconcile_count = put_back.retry.reconcile_count,
        reconciled_claim_no = put_back.retry.reconciled_claim_no, reason = put_back.retry.reason,
        why = put_back.retry.why, last_error = put_back.retry.last_error, error_code = put_back.retry.error_code,
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
    set status = close_row.final_status, last_error = close_row.error, error_code = close_row.code, why = null,
        claimed_at = null, begun_at = null, attempt_id = null, in_doubt_since = null,
        attempt_count = close_row.retry.attempt_count, rate_limit_count = close_row.retry.rate_limit_count,
        reconciled_claim_no = close_row.retry.reconciled_claim_no, reason = close_row.retry.reason,
        updated_at = close_row.at
    where q.id = close_row.retry.id;

    update public.send_logs l
    set status = 'failed', error_message = close_row.error, updated_at = close_row.at
    where l.id = close_row.retry.send_log_id and not smsretry.is_sent(l.provider_message_id);
$$;

revoke all on function smsretry.close_row from public, anon, authenticated;
grant execute on function smsretry.close_row to service_role;

-- ======== schemas/35_complete_row.sql ========
-- End a row whose text Twilio accepted, and tell its send log. The caller holds it locked and has set its counts and
-- reason. Without a SID it is the send log that says so, and it keeps what it says.
create or replace function smsretry.complete_row(retry public.sms_retry_queue, sid text, at timestamptz)
returns void language sql set search_path = pg_catalog, pg_temp as $$
    update public.sms_retry_queue q
    set status = 'completed', last_error = null, error_code = null,
        claimed_at = null, begun_at = null, attempt_id = null, in_doubt_since = null,
        attempt_count = complete_row.retry.attempt_count, rate_limit_count = complete_row.retry.rate_limit_count,
        reconciled_claim_no = complete_row.retry.reconciled_claim_no, reason = complete_row.retry.reason,
        updated_at = complete_row.at
    where q.id = complete_row.retry.id;

    update public.send_logs l
    set status = case when complete_row.sid is null then l.status else 'sent' end,
        provider_message_id = case when complete_row.sid is null then l.provider_message_id
                                   else jsonb_build_object('twilio_sid', complete_row.sid) end,
        error_message = null, updated_at = complete_row.at
    where l.id = complete_row.retry.send_log_id;
$$;

revoke all on function smsretry.complete_row from public, anon, authenticated;
grant execute on function smsretry.complete_row to service_role;

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
        select coalesce(a.finished_at, a.begun_at)
        from person p
        join public.sms_retry_queue q on q.customer_id = p.id
        join public.sms_send_attempts a on a.retry_id = q.id
        where coalesce(a.outcome, 'in_doubt') in ('accepted', 'in_doubt')
        union all
        select coalesce(l.updated_at, l.created_at)
        from person p
        join public.send_logs l on l.customer_id = p.id
        where l.channel = 'sms' and smsretry.is_sent(l.provider_message_id)
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

-- ======== schemas/40_queue_sms_retry.sql ========
-- Queue a retry for a send log, or return the live row that it already has.
--   result: queued | already_queued | already_sent | attempts_exhausted (the send log is then failed)
-- Names of parameters are the API, here and in every function in public: PostgREST calls by name.
-- The defaults are for the application, which may call this with send_log_id alone; the package passes its own delays. A
-- null means the default: due in one minute (the first step of the backoff), for 48 hours, as marketing. scheduled_for
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
    v_expires constant timestamptz := v_now + coalesce(queue_sms_retry.expires_in, interval '48 hours');
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
    if smsretry.is_sent(v_log.provider_message_id) then
        return query select null::uuid, 'already_sent', null::timestamptz;
        return;
    end if;
    loop -- twice only if somebody else inserts a row for the same text at this very moment
        return query
        select q.id, 'already_queued', q.scheduled_for
        from public.sms_retry_queue q
        where q.send_log_id = v_log.id and q.status in ('pending', 'processing');
        exit when found;

        if queue_sms_retry.attempt_count >= queue_sms_retry.max_attempts then
            update public.send_logs l
            set status = 'failed', updated_at = v_now, error_message = coalesce(
                queue_sms_retry.error, 'Gave up after ' || queue_sms_retry.attempt_count || ' attempts')
            where l.id = v_log.id;
            return query select null::uuid, 'attempts_exhausted', null::timestamptz;
            exit;
        end if;

        return query
        insert into public.sms_retry_queue (
            business_id, send_log_id, customer_id, status, attempt_count, max_attempts,
            scheduled_for, reason, last_error, expires_at, message_class, created_at, updated_at)
        values (
            v_log.business_id, v_log.id, v_log.customer_id, 'pending', queue_sms_retry.attempt_count,
            queue_sms_retry.max_attempts, v_due, queue_sms_retry.reason, queue_sms_retry.error, v_expires, v_class,
            v_now, v_now)
        on conflict (send_log_id) where status in ('pending', 'processing') do nothing
        returning id, 'queued', sms_retry_queue.scheduled_for;
        exit when found;
    end loop;
end
$$;

revoke all on function public.queue_sms_retry from public, anon, authenticated;
grant execute on function public.queue_sms_retry to service_role;

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

-- ======== schemas/50_claim_due_sms_retries.sql ========
-- Take up to limit_count due rows, business by business in turns: each one's first due row, then each one's second.
-- limit_count is clamped to 500, because PostgREST truncates answers at 1000. Rows in doubt are not taken: the caller
-- sends what it gets. claimed_at in the answer is the database's clock.
create or replace function public.claim_due_sms_retries(limit_count integer default 50)
returns setof smsretry.claimed_retry
language plpgsql security invoker set search_path = pg_catalog, pg_temp
-- A generic plan does not know the limit, expects thousands of candidates, and would read the whole queue to join them.
set enable_hashjoin = off set enable_mergejoin = off as $$
#variable_conflict use_column
declare
    v_now constant timestamptz := smsretry.clock();
    v_limit constant integer := least(greatest(coalesce(limit_count, 50), 0), 500);
    v_ids uuid[];
begin
    with recursive business (id) as (
        -- One index probe a business, instead of reading every due row of the busiest one.
        (select q.business_id from public.sms_retry_queue q
         where q.status = 'pending' and q.in_doubt_since is null
         order by q.business_id limit 1)
        union all
        select (select q.business_id from public.sms_retry_queue q
                where q.status = 'pending' and q.in_doubt_since is null and q.business_id > b.id
                order by q.business_id limit 1)
        from business b where b.id is not null
    ),
    candidate as materialized (
        -- Twice the limit, so that rows which another claimer holds locked can be passed over.
        select d.id, d.scheduled_for,
               row_number() over (partition by b.id order by d.scheduled_for, d.id) as turn
        from business b
        cross join lateral (
            select q.id, q.scheduled_for from public.sms_retry_queue q
            where q.status = 'pending' and q.in_doubt_since is null
              and q.business_id = b.id and q.scheduled_for <= v_now
            order by q.scheduled_for, q.id
            limit 2 * v_limit
        ) d
        where b.id is not null
    ),
    -- Materialized and apart from the update: `update … where id in (select … limit n for update skip locked)` may run its
    -- subquery once a row on a table without statistics, and then claims far more than n.
    due as materialized (
        select q.id
        from candidate c
        join public.sms_retry_queue q on q.id = c.id
        where q.status = 'pending' and q.in_doubt_since is null and q.scheduled_for <= v_now
        order by c.turn, c.scheduled_for, c.id
        limit v_limit
        for update of q skip locked
    )
    select array_agg(d.id) into v_ids from due d;

    return query select * from smsretry.take(v_ids, v_now);
end
$$;

revoke all on function public.claim_due_sms_retries from public, anon, authenticated;
grant execute on function public.claim_due_sms_retries to service_role;

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

-- ======== schemas/52_begin_sms_attempt.sql ========
-- Just before the request leaves: may it still go? The transaction that reads consent and counts the number's texts also
-- writes the attempt. May be repeated with the same attempt_id.
--   answer: go
--     | lost     another worker has the row
--     | changed  phone is no longer the customer's number
--     | closed   send_before has come: decide again
--     | capped   the number has had cap texts since cap_since; there is room when the one of reached_at no longer counts
--     | ended    the row is finished, and why says for what reason
-- The cap's span is the caller's choice: a moment 24 hours ago, or the start of a calendar day. decided_at is the
-- database's clock.
create or replace function public.begin_sms_attempt(
    retry_id uuid,
    claim_no bigint,
    attempt_id uuid,
    send_before timestamptz,
    quiet_hours_rule text,
    first_send boolean default false,
    cap integer default null,
    cap_since timestamptz default null,
    phone text default null
)
returns table (answer text, why text, decided_at timestamptz, reached_at timestamptz)
language plpgsql security invoker set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
declare
    v_row public.sms_retry_queue;
    v_now timestamptz;
    v_customer public.customers;
    v_sent boolean;
    v_refusal text;
    v_reached_at timestamptz;
begin
    if begin_sms_attempt.claim_no is null or begin_sms_attempt.attempt_id is null or begin_sms_attempt.send_before is null then
        raise exception 'claim_no, attempt_id and send_before must be given: without them nothing is checked'
            using errcode = 'SR422';
    end if;
    if begin_sms_attempt.cap is not null and begin_sms_attempt.cap_since is null then
        raise exception 'cap_since is missing: a cap counts the texts since a moment' using errcode = 'SR422';
    end if;
    v_row := smsretry.held(begin_sms_attempt.retry_id, begin_sms_attempt.claim_no);
    v_now := smsretry.clock(); -- after the lock: waiting for it took time
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
    select * into v_customer from public.customers c where c.id = v_row.customer_id for share;
    if v_customer.phone is not null then
        -- One at a time to a number, capped or not, or two texts would each be counted without the other.
        perform pg_advisory_xact_lock(hashtextextended(v_row.business_id::text || v_customer.phone, 0));
    end if;
    if begin_sms_attempt.cap is not null then
        v_reached_at := smsretry.cap_reached_at(
            v_row.business_id, v_customer.phone, begin_sms_attempt.cap, begin_sms_attempt.cap_since);
    end if;
    v_now := smsretry.clock(); -- after these locks, too
    select smsretry.is_sent(l.provider_message_id) into v_sent from public.send_logs l where l.id = v_row.send_log_id;
    v_refusal := case
        when v_sent then 'Already sent'
        when v_customer.sms_consent_status = 'opted_out' then 'Customer opted out'
        when v_customer.sms_consent_status is distinct from 'opted_in'
            then 'Customer opted out (consent is ' || coalesce(v_customer.sms_consent_status, 'missing') || ')'
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
    if v_customer.phone is distinct from coalesce(begin_sms_attempt.phone, v_customer.phone) then
        return query select 'changed', null::text, v_now, null::timestamptz;
        return;
    end if;
    if v_reached_at is not null then
        return query select 'capped', null::text, v_now, v_reached_at;
        return;
    end if;

    insert into public.sms_send_attempts (
        id, retry_id, attempt_number, claim_no, begun_at, consent_status, consent_at, consent_source, quiet_hours_rule)
    values (begin_sms_attempt.attempt_id, v_row.id,
            case when begin_sms_attempt.first_send then 0 else v_row.attempt_count + 1 end,
            v_row.claim_no, v_now, v_customer.sms_consent_status, v_customer.sms_consent_at,
            v_customer.sms_consent_source, begin_sms_attempt.quiet_hours_rule);
    update public.sms_retry_queue q
    set begun_at = v_now, attempt_id = begin_sms_attempt.attempt_id, last_attempted_at = v_now, why = null, updated_at = v_now
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
    phone_status text default null
)
returns table (applied boolean, status text, scheduled_for timestamptz, attempt_count integer)
language plpgsql security invoker set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
declare
    v_doubt constant boolean := finish_sms_attempt.outcome = 'in_doubt';
    v_settled_by constant text := case when not v_doubt then 'response' end;
    v_now timestamptz;
    v_row public.sms_retry_queue;
    v_number integer;
    v_applied boolean;
begin
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

    v_row := smsretry.held(finish_sms_attempt.retry_id, finish_sms_attempt.claim_no);
    v_now := smsretry.clock();
    v_applied := coalesce(v_row.begun_at is not null and v_row.attempt_id = finish_sms_attempt.attempt_id, false);

    if v_applied then
        update public.sms_send_attempts a
        set finished_at = v_now, outcome = finish_sms_attempt.outcome, error_code = finish_sms_attempt.error_code,
            twilio_sid = finish_sms_attempt.twilio_sid, settled_by = v_settled_by
        where a.id = finish_sms_attempt.attempt_id
        returning a.attempt_number into v_number;

        if finish_sms_attempt.counted then
            v_row.attempt_count := greatest(v_row.attempt_count, v_number);
        end if;
        v_row.reason := coalesce(finish_sms_attempt.reason, v_row.reason);
        if finish_sms_attempt.reason = 'rate_limit' then
            v_row.rate_limit_count := v_row.rate_limit_count + 1;
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
-- May be repeated.
create or replace function public.defer_sms_retry(
    retry_id uuid, claim_no bigint, until timestamptz, reason text default null, why text default null
)
returns boolean language plpgsql security invoker set search_path = pg_catalog, pg_temp as $$
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
        v_row.why := defer_sms_retry.why;
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
returns boolean language plpgsql security invoker set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
declare
    v_row public.sms_retry_queue;
begin
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

-- ======== schemas/56_recover_stuck_sms_retries.sql ========
-- Take back the rows whose worker has been silent for stale_minutes, and return them as they are now.
--   begun: the text may have gone out, so the row is in doubt, and the attempt counts
--   in doubt: still so
--   neither: pending again at no cost, max_recoveries times; after that the row fails
-- A row in doubt is looked at again look_in from now.
-- The defaults are for the application, which calls this with stale_minutes alone; the package passes what it means.
create or replace function public.recover_stuck_sms_retries(
    stale_minutes integer default 10, look_in interval default '1 minute', max_recoveries integer default 5
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
    if look_in is null or max_recoveries is null then
        raise exception 'look_in and max_recoveries must not be null' using errcode = 'SR422';
    end if;
    for v_stale in
        select * from public.sms_retry_queue q
        where q.status = 'processing'
          and greatest(q.claimed_at, q.begun_at) <= v_now - make_interval(mins => stale_minutes)
        order by q.id
        limit 500
        for update skip locked
    loop
        begin
            if v_stale.begun_at is not null then
                update public.sms_send_attempts a
                set finished_at = v_now, outcome = 'in_doubt'
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
                perform smsretry.put_back(v_stale, v_now + look_in, v_now);
            elsif v_stale.recover_count >= max_recoveries then
                perform smsretry.close_row(
                    v_stale, 'failed', 'Gave up: ' || v_stale.recover_count + 1 || ' workers died while they held this row',
                    null, v_now);
            else
                v_stale.recover_count := v_stale.recover_count + 1;
                perform smsretry.put_back(v_stale, v_stale.scheduled_for, v_now);
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

-- ======== schemas/60_claim_doubtful_sms_retries.sql ========
-- Take up to limit_count rows in doubt whose next look has come (clamped to 500), to look for evidence of what became of
-- their attempt.
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
        where q.status = 'pending' and q.in_doubt_since is not null and q.scheduled_for <= v_now
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
--           | hold         likewise, but a person is to decide (error says so)
--   answer: applied
--         | lost       the claim was lost
--         | sid_taken  another attempt has that SID: look at the next message
--         | wait       a send to the same number has no answer yet. A message found now may be that one's, and to take it
--                      would lose a text.
create or replace function public.reconcile_sms_retry(
    retry_id uuid,
    claim_no bigint,
    decision text,
    twilio_sid text default null,
    settled_by text default 'reconcile',
    look_in interval default null,
    error text default null
)
returns text language plpgsql security invoker set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
declare
    v_row public.sms_retry_queue;
    v_now timestamptz;
begin
    if (reconcile_sms_retry.decision in ('accepted', 'look_again', 'look_failed', 'resend', 'hold')) is not true
        or reconcile_sms_retry.decision in ('look_again', 'look_failed') and reconcile_sms_retry.look_in is null
        or reconcile_sms_retry.decision = 'hold' and reconcile_sms_retry.error is null then
        raise exception 'decision must be accepted, look_again or look_failed (with look_in), resend, or hold (with error)'
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
    if reconcile_sms_retry.twilio_sid is not null and exists (
        select 1 from public.sms_retry_queue q
        join public.customers theirs on theirs.id = q.customer_id
        join public.customers ours on ours.id = v_row.customer_id and ours.phone = theirs.phone
        where q.status = 'processing' and q.begun_at is not null and q.id <> v_row.id) then
        return 'wait';
    end if;
    if exists (select 1 from public.sms_send_attempts a
               where a.twilio_sid = reconcile_sms_retry.twilio_sid and a.id <> v_row.attempt_id) then
        return 'sid_taken';
    end if;

    v_row.reconciled_claim_no := reconcile_sms_retry.claim_no;
    case reconcile_sms_retry.decision
        when 'accepted' then
            update public.sms_send_attempts a
            set outcome = 'accepted', finished_at = v_now, settled_by = reconcile_sms_retry.settled_by,
                twilio_sid = reconcile_sms_retry.twilio_sid, error_code = null
            where a.id = v_row.attempt_id;
            perform smsretry.complete_row(v_row, reconcile_sms_retry.twilio_sid, v_now);
        when 'hold' then
            perform smsretry.close_row(v_row, 'failed', reconcile_sms_retry.error, null, v_now);
        when 'resend' then
            update public.sms_send_attempts a
            set outcome = 'not_sent', finished_at = v_now, settled_by = reconcile_sms_retry.settled_by
            where a.id = v_row.attempt_id;
            v_row.attempt_id := null;
            v_row.in_doubt_since := null;
            v_row.reconcile_count := 0;
            perform smsretry.put_back(v_row, v_now, v_now);
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
-- For the application's webhook: Twilio called the status callback URL that carries this attempt's id, so it has the
-- message. May be called any number of times, in any order, before or after the sender's own answer.
-- Answers settled (the row is completed), recorded (the row had moved on), already_settled, or unknown_attempt.
create or replace function public.settle_sms_attempt(attempt_id uuid, twilio_sid text, settled_by text default 'callback')
returns text language plpgsql security invoker set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
declare
    v_row public.sms_retry_queue;
    v_attempt public.sms_send_attempts;
    v_now timestamptz;
begin
    if (settle_sms_attempt.twilio_sid ~ '^(SM|MM)[0-9a-fA-F]{32}$') is not true
        or (settle_sms_attempt.settled_by in ('callback', 'operator')) is not true then
        raise exception 'twilio_sid must be a message SID (SM or MM and 32 hexadecimal digits), settled_by callback or operator'
            using errcode = 'SR422';
    end if;
    -- Twilio holds no claim, so there is no fence here: what it accepted is true whoever has the row.
    select q.* into v_row from public.sms_retry_queue q
    where q.id = (select a.retry_id from public.sms_send_attempts a where a.id = settle_sms_attempt.attempt_id)
    for update;
    if not found then
        return 'unknown_attempt';
    end if;
    select * into v_attempt from public.sms_send_attempts a where a.id = settle_sms_attempt.attempt_id;
    v_now := smsretry.clock();
    if v_attempt.outcome = 'accepted' and v_attempt.twilio_sid is not null then
        return 'already_settled';
    end if;
    if exists (select 1 from public.sms_send_attempts a
               where a.twilio_sid = settle_sms_attempt.twilio_sid and a.id <> v_attempt.id) then
        raise exception 'SID % belongs to another attempt', settle_sms_attempt.twilio_sid using errcode = 'SR422';
    end if;
    update public.sms_send_attempts a
    set outcome = 'accepted', finished_at = v_now, settled_by = settle_sms_attempt.settled_by,
        twilio_sid = settle_sms_attempt.twilio_sid, error_code = null
    where a.id = v_attempt.id;

    if v_row.status in ('pending', 'processing') and (v_row.begun_at is null or v_row.attempt_id = v_attempt.id) then
        perform smsretry.complete_row(v_row, settle_sms_attempt.twilio_sid, v_now);
        return 'settled';
    end if;
    update public.send_logs l
    set status = 'sent', error_message = null, updated_at = v_now,
        provider_message_id = jsonb_build_object('twilio_sid', settle_sms_attempt.twilio_sid)
    where l.id = v_row.send_log_id and not smsretry.is_sent(l.provider_message_id);
    return 'recorded';
end
$$;

revoke all on function public.settle_sms_attempt from public, anon, authenticated;
grant execute on function public.settle_sms_attempt to service_role;

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
    insert into smsretry.circuit (opened_at, why) values (smsretry.clock(), set_sms_circuit.why)
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
    values (set_sms_state_stop.state, smsretry.clock(), set_sms_state_stop.why)
    on conflict (state) do update set why = excluded.why;
    return true;
end
$$;

revoke all on function public.set_sms_state_stop from public, anon, authenticated;
grant execute on function public.set_sms_state_stop to service_role;

-- ======== schemas/90_check_sms_retry_setup.sql ========
-- What is right, what is not and what to do about it: for `smsretry doctor`. Reads only.
-- functions: the names of the API functions that the caller's version of the package ships.
create or replace function public.check_sms_retry_setup(functions text[])
returns table (subject text, ok boolean, advice text)
language sql stable security invoker set search_path = pg_catalog, pg_temp as $$
    with api (name) as (
        select unnest(check_sms_retry_setup.functions)
    ),
    callable as (
        select a.name, count(p.oid) as found,
               bool_and(has_function_privilege('service_role', p.oid, 'execute')) as by_service,
               bool_or(has_function_privilege('anon', p.oid, 'execute') or has_function_privilege('authenticated', p.oid, 'execute')) as by_others
        from api a
        left join pg_catalog.pg_proc p on p.proname = a.name and p.pronamespace = 'public'::regnamespace
        group by a.name
    ),
    findings (subject, ok, advice) as (
        select 'function ' || c.name, c.found = 1 and c.by_service and not c.by_others,
               case when c.found = 0 then 'missing: run `smsretry migrate`, with --again if it was applied before'
                    when c.found > 1 then 'exists ' || c.found || ' times: drop the versions that are not smsretry''s'
                    when not c.by_service then 'service_role may not call it: run `smsretry migrate --again`'
                    else 'anon or authenticated may call it: revoke execute, or run `smsretry migrate --again`' end
        from callable c
        union all
        select 'functions', false, 'no names were given, so no function was checked'
        where not exists (select 1 from api)
        union all
        select 'row level security of ' || t.name, coalesce(r.relrowsecurity, false),
               case when r.oid is null then 'the table is missing: run `smsretry migrate`'
                    else 'is off: anyone with the anon key may read it. Run: alter table public.' || t.name || ' enable row level security' end
        from unnest(array['businesses', 'customers', 'send_logs', 'sms_retry_queue', 'sms_send_attempts']) as t (name)
        left join pg_catalog.pg_class r on r.relname = t.name and r.relnamespace = 'public'::regnamespace
        union all
        select 'only service_role changes ' || t.name,
               not exists (
                   select 1 from unnest(array['anon', 'authenticated']) as g (role)
                   where has_table_privilege(g.role, r.oid, 'update, delete, truncate')
                      or has_any_column_privilege(g.role, r.oid, 'update')),
               'anon or authenticated may update or delete: revoke it, or run `smsretry migrate --again`'
        from unnest(array['sms_retry_queue', 'sms_send_attempts']) as t (name)
        join pg_catalog.pg_class r on r.relname = t.name and r.relnamespace = 'public'::regnamespace
        union all
        select 'one live row a text', exists (
                   select 1 from pg_catalog.pg_indexes i
                   where i.schemaname = 'public' and i.indexname = 'sms_retry_queue_one_live_row'),
               'the unique index sms_retry_queue_one_live_row is missing: run `smsretry migrate --again`'
        union all
        select 'rules of the state machine', count(*) filter (where not k.convalidated) = 0,
               'some rows break ' || string_agg(k.conname, ', ') filter (where not k.convalidated)
                   || ': mend or delete them, then run `smsretry migrate --again`'
        from pg_catalog.pg_constraint k
        where k.conrelid = 'public.sms_retry_queue'::regclass and k.contype = 'c' and k.conname like 'sms\_retry\_queue\_%'
    )
    select f.subject, f.ok, case when not f.ok then f.advice end from findings f
    union all -- warnings: set by somebody or passing, and easily forgotten
    select 'sending', true, 'had stopped: ' || c.why from smsretry.circuit c
    union all
    select 'texts to ' || s.state, true, 'are stopped since ' || to_char(s.stopped_at at time zone 'UTC', 'YYYY-MM-DD HH24:MI')
           || ' UTC (' || s.why || '); `smsretry stop ' || s.state || ' --lift` lets them go'
    from smsretry.stopped_states s
$$;

revoke all on function public.check_sms_retry_setup from public, anon, authenticated;
grant execute on function public.check_sms_retry_setup to service_role;

-- ======== PostgREST learns of the change at once ========
notify pgrst, 'reload schema';
