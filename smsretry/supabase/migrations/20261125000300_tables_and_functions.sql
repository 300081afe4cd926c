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
    account_refusal_count integer not null default 0,
    error_code integer,
    message_class text not null default 'marketing',
    why text,
    held_since timestamptz,
    claimed_by_application boolean not null default false,
    expires_at timestamptz,

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
-- Rows under suspicion, which are claimed alone.
create index if not exists sms_retry_queue_suspect
    on public.sms_retry_queue (recover_count, scheduled_for)
    where status = 'pending' and recover_count >= 2;
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
    number_key bytea,
    sent_to text,
    sent_body text,
    sent_by text,
    worker_died boolean not null default false,
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
        outcome is null or outcome = 'in_doubt' or (sent_to is null and sent_body is null))
);
comment on table public.sms_send_attempts is 'Every send that was begun and what became of it.';
comment on column public.sms_send_attempts.number_key is 'A keyed hash of business and number, by which texts to a person are counted: smsretry.number_key.';
comment on column public.sms_send_attempts.sent_to is 'With sent_body and sent_by: what was sent, until it is known what became of it. Evidence is compared with this and never with what the rows say now.';
comment on column public.sms_send_attempts.worker_died is 'It came into doubt because its worker died: nobody knows whether the request ever left.';
comment on column public.sms_send_attempts.attempt_number is '1, 2, 3 … for retries; 0 for a text''s first send by send_sms.';
comment on column public.sms_send_attempts.consent_status is 'With consent_at and consent_source: the customer''s consent as it was read when the send began.';

-- The texts to a number since a moment, for the daily cap.
create index if not exists sms_send_attempts_number
    on public.sms_send_attempts (number_key, (coalesce(finished_at, begun_at)));
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
-- the send begins, the decision was about somebody else or somewhere else.
create or replace function smsretry.decided_by(customer public.customers, business public.businesses)
returns text language sql immutable set search_path = pg_catalog, pg_temp as $$
    select md5(concat_ws('|', coalesce(customer.phone, ''), coalesce(customer.timezone, ''),
                         coalesce(business.timezone, ''), coalesce(business.sms_hours, '')))
$$;

revoke all on function smsretry.decided_by from public, anon, authenticated;
grant execute on function smsretry.decided_by to service_role;

-- ======== schemas/19_is_sent.sql ========
-- Whether a send log says that its text was sent: it has Twilio's SID, or a status that a webhook writes only after Twilio
-- accepted the text. The one definition, for begin, for a look and for the webhook.
create or replace function smsretry.is_sent(log public.send_logs)
returns boolean language sql immutable set search_path = pg_catalog, pg_temp as $$
    select coalesce(log.provider_message_id ? 'twilio_sid', false)
        or coalesce(log.status::text in ('sent', 'delivered', 'undelivered'), false)
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
create or replace function smsretry.number_key(business_id uuid, phone text)
returns bytea language sql stable set search_path = pg_catalog, pg_temp as $$
    select sha256(s.key || sha256(s.key || convert_to(number_key.business_id::text || ' ' || number_key.phone, 'UTF8')))
    from smsretry.secret s
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
       coalesce(smsretry.is_sent(l), false) as log_says_sent,
       left(l.provider_message_id ->> 'twilio_sid', 40) as known_sid,
       c.id is not null as customer_found, left(c.phone, 40) as phone, left(c.timezone, 100) as timezone,
       left(c.sms_consent_status::text, 40) as sms_consent_status,
       left(b.timezone, 100) as business_timezone, left(b.sms_hours, 1000) as business_hours,
       smsretry.decided_by(c, b) as decided_by
from public.sms_retry_queue q
left join public.sms_send_attempts a on a.id = q.attempt_id
left join public.send_logs l on l.id = q.send_log_id
left join public.customers c on c.id = q.customer_id
left join public.businesses b on b.id = q.business_id;

grant select on smsretry.claimed_retry to service_role;

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
        expires_at = put_back.retry.expires_at, claimed_by_application = false,
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
    where l.id = close_row.retry.send_log_id and not smsretry.is_sent(l);
$$;

revoke all on function smsretry.close_row from public, anon, authenticated;
grant execute on function smsretry.close_row to service_role;

-- ======== schemas/35_complete_row.sql ========
-- End a row whose text Twilio accepted, and tell its send log. The caller holds it locked and has set its counts and
-- reason. Without a SID it is the send log that says so, and it keeps what it says.
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
        where l.channel = 'sms' and smsretry.is_sent(l)
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
-- was begun when it was claimed, to whom and with what the rows say now.
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

-- ======== schemas/39_supersede.sql ========
-- The application's own processor has claimed a text, and now queues its next try. Its claim ends here, so that the text
-- keeps one live row. It counts one attempt more than the row that is held; a row that does not is the same text, queued twice,
-- and the claim stays. A row that our workers hold is left alone.
create or replace function smsretry.supersede(send_log_id uuid, attempt_count integer)
returns void language sql set search_path = pg_catalog, pg_temp as $$
    update public.sms_retry_queue q
    set status = 'failed', last_error = coalesce(q.last_error, 'Its next try is another row'),
        claimed_at = null, claimed_by_application = false, updated_at = smsretry.clock()
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
    if smsretry.is_sent(v_log) then
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

-- ======== schemas/43_keep_suppression.sql ========
-- An opt-out is of a number at a business, whoever records it on whichever of its customers' rows, and outlives the row.
-- It is lifted by an opt-in that was recorded later (sms_consent_at), and by nothing else: a row imported after the
-- opt-out says nothing new.
-- security definer, because tenants write customers and may not write suppressions. It never refuses a write of theirs.
create or replace function smsretry.keep_suppression()
returns trigger language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    v_key constant bytea := smsretry.number_key(new.business_id, new.phone);
begin
    if new.sms_consent_status::text = 'opted_out' then
        insert into smsretry.suppressions (number_key, business_id, since, source)
        values (v_key, new.business_id, coalesce(new.sms_consent_at, smsretry.clock()), left(new.sms_consent_source, 200))
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

-- ======== schemas/50_claim_due_sms_retries.sql ========
-- Take up to limit_count due rows, business by business in turns: each one's first due row, then each one's second.
-- limit_count is clamped to 500, because PostgREST truncates answers at 1000. Rows in doubt are not taken: the caller
-- sends what it gets. Nor are rows under suspicion: claim_suspect_sms_retry. claimed_at in the answer is the database's
-- clock.
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
              and q.business_id = b.id and q.scheduled_for <= v_now and q.recover_count < 2
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

    return query select * from smsretry.take(v_ids, v_now, begins is not true);
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
-- text is of use, if this is the first moment it might go out.
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
    life interval default null
)
returns table (answer text, why text, decided_at timestamptz, reached_at timestamptz)
language plpgsql security invoker set search_path = pg_catalog, pg_temp
-- Somebody else's long transaction may hold the customer locked. Then this text waits, and not the worker.
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
    select * into v_customer from public.customers c where c.id = v_row.customer_id for share;
    if begin_sms_attempt.phone is null then
        perform smsretry.lock_number(v_row.business_id, v_customer.phone);
    end if;
    v_key := smsretry.number_key(v_row.business_id, v_customer.phone);
    select * into v_business from public.businesses b where b.id = v_row.business_id;
    if begin_sms_attempt.cap is not null then
        v_reached_at := smsretry.cap_reached_at(
            v_row.business_id, v_customer.phone, begin_sms_attempt.cap, begin_sms_attempt.cap_since);
    end if;
    v_now := smsretry.clock(); -- after these locks, too
    select * into v_log from public.send_logs l where l.id = v_row.send_log_id;
    if v_customer.id is null or v_log.id is null or v_log.channel::text <> 'sms' then
        return query select 'changed', null::text, v_now, null::timestamptz; -- deleted: the next decision says so
        return;
    end if;
    v_refusal := case
        when smsretry.is_sent(v_log) then 'Already sent'
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
        or smsretry.decided_by(v_customer, v_business) <> begin_sms_attempt.decided_by then
        return query select 'changed', null::text, v_now, null::timestamptz;
        return;
    end if;
    if v_reached_at is not null then
        return query select 'capped', null::text, v_now, v_reached_at;
        return;
    end if;

    insert into public.sms_send_attempts (
        id, retry_id, attempt_number, claim_no, begun_at, consent_status, consent_at, consent_source, quiet_hours_rule,
        number_key, sent_to, sent_body, sent_by)
    values (begin_sms_attempt.attempt_id, v_row.id,
            case when begin_sms_attempt.first_send then 0 else v_row.attempt_count + 1 end,
            v_row.claim_no, v_now, v_customer.sms_consent_status, v_customer.sms_consent_at,
            v_customer.sms_consent_source, begin_sms_attempt.quiet_hours_rule,
            v_key, v_customer.phone, coalesce(begin_sms_attempt.body, left(v_log.subject, 1601)), begin_sms_attempt.sent_by);
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
-- life: how long the text is of use, if it might have gone out now for the first time.
-- May be repeated.
create or replace function public.defer_sms_retry(
    retry_id uuid, claim_no bigint, until timestamptz, reason text default null, why text default null,
    life interval default null
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
        v_row.why := left(defer_sms_retry.why, 2000);
        v_row.held_since := null;
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

-- ======== schemas/55_hold_sms_retry.sql ========
-- Put a claimed row back to pending because of something that a person can mend (why says what), to be looked at again
-- look_in from now. Costs no attempt. False: the claim was lost. May be repeated.
-- life: how long the text is of use, if it might have gone out now for the first time.
create or replace function public.hold_sms_retry(
    retry_id uuid, claim_no bigint, why text, look_in interval, life interval default null
)
returns boolean language plpgsql security invoker set search_path = pg_catalog, pg_temp as $$
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
          and greatest(q.claimed_at, q.begun_at) <= v_now - make_interval(mins => stale_minutes)
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
returns text language plpgsql security invoker set search_path = pg_catalog, pg_temp as $$
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
                twilio_sid = reconcile_sms_retry.twilio_sid, error_code = null, sent_to = null, sent_body = null
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
    if smsretry.is_anothers(settle_sms_attempt.twilio_sid, v_attempt.id, v_row.send_log_id) then
        raise exception 'SID % belongs to another text', settle_sms_attempt.twilio_sid using errcode = 'SR422';
    end if;
    update public.sms_send_attempts a
    set outcome = 'accepted', finished_at = v_now, settled_by = settle_sms_attempt.settled_by,
        twilio_sid = settle_sms_attempt.twilio_sid, error_code = null, sent_to = null, sent_body = null
    where a.id = v_attempt.id;

    if v_row.status in ('pending', 'processing') and (v_row.begun_at is null or v_row.attempt_id = v_attempt.id) then
        perform smsretry.complete_row(v_row, settle_sms_attempt.twilio_sid, v_now);
        return 'settled';
    end if;
    update public.send_logs l
    set status = 'sent', error_message = null, updated_at = v_now,
        provider_message_id = jsonb_build_object('twilio_sid', settle_sms_attempt.twilio_sid)
    where l.id = v_row.send_log_id and (l.provider_message_id ? 'twilio_sid') is not true;
    return 'recorded';
end
$$;

revoke all on function public.settle_sms_attempt from public, anon, authenticated;
grant execute on function public.settle_sms_attempt to service_role;

-- ======== schemas/63_resolve_sms_doubt.sql ========
-- For a person: what became of a text that is in doubt. With a SID it went out, as that message; without one it did not,
-- and is sent again. Answers resolved, or not_in_doubt.
create or replace function public.resolve_sms_doubt(retry_id uuid, twilio_sid text default null)
returns text language plpgsql security invoker set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
declare
    v_row public.sms_retry_queue;
begin
    select * into v_row from public.sms_retry_queue q
    where q.id = resolve_sms_doubt.retry_id and q.status = 'pending' and q.in_doubt_since is not null
    for update;
    if not found then
        return 'not_in_doubt'; -- or a worker is looking at it at this moment
    end if;
    if resolve_sms_doubt.twilio_sid is null then
        perform smsretry.resend(v_row, 'operator', smsretry.clock());
    else
        perform public.settle_sms_attempt(v_row.attempt_id, resolve_sms_doubt.twilio_sid, 'operator');
    end if;
    return 'resolved';
end
$$;

revoke all on function public.resolve_sms_doubt from public, anon, authenticated;
grant execute on function public.resolve_sms_doubt to service_role;

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
        where not coalesce(case p.kind
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
    findings (subject, ok, advice) as (
        select 'functions', false, 'no names were given, so no function was checked'
        where not exists (select 1 from functions)
        union all
        select 'function ' || split_part(m.name, '.', 2), m.found = 1 and m.by_service and not m.by_others and m.ours,
               case when m.found = 0 then 'missing: run `smsretry migrate`, with --again if it was applied before'
                    when m.found > 1 then 'exists ' || m.found || ' times: drop the versions that are not smsretry''s'
                    when not m.by_service then 'service_role may not call it: run `smsretry migrate --again`'
                    when m.by_others then 'anon or authenticated may call it: revoke execute, or run `smsretry migrate --again`'
                    else 'is another version''s, or somebody changed it: run `smsretry migrate`, with --again if it was applied before' end
        from made m
        where m.name like 'public.%'
        union all
        select 'functions of the schema smsretry', count(*) filter (where m.found <> 1 or not m.ours) = 0,
               'missing, double, changed or another version''s: '
                   || string_agg(split_part(m.name, '.', 2), ', ' order by m.name) filter (where m.found <> 1 or not m.ours)
                   || '. Run `smsretry migrate`, with --again if it was applied before'
        from made m
        where m.name like 'smsretry.%'
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

-- ======== schemas/91_describe_sms_tables.sql ========
-- What the catalog says of the four tables that smsretry shares with the application, for `smsretry migrate` before it
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
          and c.relname in ('businesses', 'customers', 'send_logs', 'sms_retry_queue')
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
    where l.channel = 'sms' and not smsretry.is_sent(l)
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
