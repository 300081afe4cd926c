-- What the queue needs beyond the original columns, on a new table and on one already full of rows.

do $$
begin
    if exists (select 1 from public.sms_retry_queue where business_id is null) then
        raise exception 'sms_retry_queue holds rows without business_id'
            using hint = 'Give each a business_id or delete it, then migrate again: the claim is fair between businesses and would never reach such a row.';
    end if;
end
$$;

-- A null in one of these would hide its row from the claim, or break the claim of every other.
update public.sms_retry_queue
set attempt_count = coalesce(attempt_count, 0),
    max_attempts = coalesce(max_attempts, 3),
    scheduled_for = coalesce(scheduled_for, created_at, now())
where attempt_count is null or max_attempts is null or scheduled_for is null;

alter table public.sms_retry_queue
    alter column business_id set not null,
    alter column attempt_count set default 0,
    alter column attempt_count set not null,
    alter column max_attempts set default 3,
    alter column max_attempts set not null,
    alter column scheduled_for set not null,
    add column if not exists claim_no bigint not null default 0,
    add column if not exists claimed_at timestamptz,
    add column if not exists begun_at timestamptz,
    add column if not exists attempt_id uuid,
    add column if not exists in_doubt_since timestamptz,
    add column if not exists reconcile_count integer not null default 0,
    add column if not exists reconciled_claim_no bigint,
    add column if not exists recover_count integer not null default 0,
    add column if not exists rate_limit_count integer not null default 0,
    add column if not exists error_code integer,
    add column if not exists message_class text not null default 'marketing',
    add column if not exists why text,
    -- Rows that already wait get the same 48 hours from the day of the migration.
    add column if not exists expires_at timestamptz not null default (smsretry.clock() + interval '48 hours');

comment on column public.sms_retry_queue.claim_no is 'Fencing token: rises with every claim, never falls. Every write of a worker names the one it holds.';
comment on column public.sms_retry_queue.claimed_at is 'When the present claim was taken: the start of its lease.';
comment on column public.sms_retry_queue.begun_at is 'When the send now under way was begun; null when none is.';
comment on column public.sms_retry_queue.attempt_id is 'The attempt that is under way or in doubt; null when there is none.';
comment on column public.sms_retry_queue.in_doubt_since is 'Since when it is unknown whether attempt_id reached the customer. Such a row is never simply sent again.';
comment on column public.sms_retry_queue.reconcile_count is 'How often evidence of attempt_id was looked for, in vain.';
comment on column public.sms_retry_queue.reconciled_claim_no is 'The last claim whose look for evidence was recorded, so that recording it twice is harmless.';
comment on column public.sms_retry_queue.rate_limit_count is 'How often Twilio said "slower"; costs an attempt only past a cap.';
comment on column public.sms_retry_queue.recover_count is 'How often a claim of this row died before its send began.';
comment on column public.sms_retry_queue.error_code is 'Twilio''s code for last_error, when it came from Twilio.';
comment on column public.sms_retry_queue.message_class is 'marketing: every quiet-hours rule binds. transactional: 08:00-21:00 where the customer is, and no state''s rule.';
comment on column public.sms_retry_queue.why is 'Why it waits for scheduled_for, in words and with the rule, when that is no failure (see last_error).';
comment on column public.sms_retry_queue.attempt_count is 'Sends really made from the queue. A deferral, a recovery of an unbegun claim and a request that was never sent do not count.';

-- One row a send that was begun. Append-only: a row is inserted by begin, settled once, and never deleted by the API.
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
    -- An answer has a time, and a time an answer.
    constraint sms_send_attempts_finished check ((finished_at is null) = (outcome is null)),
    -- Only what Twilio accepted has Twilio's name. An answer without it is no acceptance; a send log that the
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

-- A business's own hours narrow everybody's. Text, so that a person can write and read it in a table editor.
alter table public.businesses add column if not exists sms_hours text;
comment on column public.businesses.sms_hours is 'Own hours for texts, on the customer''s clock: 09:00-18:00, or Mon-Fri 09:00-18:00, Sat 10:00-16:00. Null: no own ones.';

-- An old worker's claims: whether their texts went out is unknown, so they are begun, and recovery puts them in doubt.
with old_claim as (
    update public.sms_retry_queue q
    set claim_no = 1,
        claimed_at = coalesce(q.last_attempted_at, q.updated_at, smsretry.clock()),
        begun_at = coalesce(q.last_attempted_at, q.updated_at, smsretry.clock()),
        attempt_id = gen_random_uuid()
    where q.status = 'processing' and q.claimed_at is null
    returning q.id, q.attempt_id, q.attempt_count, q.claim_no, q.begun_at
)
insert into public.sms_send_attempts (id, retry_id, attempt_number, claim_no, begun_at)
select o.attempt_id, o.id, greatest(o.attempt_count, 1), o.claim_no, o.begun_at from old_claim o;

-- One live row a text. Of duplicates the one furthest along stays, then the one due first; the send that another one
-- may have begun stays on record as in doubt.
with ranked as (
    select q.id,
           first_value(q.id) over w as kept,
           row_number() over w as place
    from public.sms_retry_queue q
    where q.status in ('pending', 'processing') and q.send_log_id is not null
    window w as (partition by q.send_log_id order by (q.status = 'processing') desc, q.scheduled_for, q.created_at, q.id)
),
cancelled as (
    update public.sms_retry_queue q
    set status = 'cancelled',
        last_error = 'Duplicate of row ' || r.kept || ': one live row a text',
        claimed_at = null, begun_at = null, attempt_id = null,
        updated_at = smsretry.clock()
    from ranked r
    where r.id = q.id and r.place > 1
    returning q.id
)
update public.sms_send_attempts a
set outcome = 'in_doubt', finished_at = smsretry.clock()
from cancelled c
where a.retry_id = c.id and a.finished_at is null;

create unique index if not exists sms_retry_queue_one_live_row
    on public.sms_retry_queue (send_log_id) where status in ('pending', 'processing');
-- The claim walks it business by business, due time first, and never meets a deferred row of the future.
create index if not exists sms_retry_queue_due
    on public.sms_retry_queue (business_id, scheduled_for, id) where status = 'pending' and in_doubt_since is null;
create index if not exists sms_retry_queue_in_doubt
    on public.sms_retry_queue (scheduled_for, id) where status = 'pending' and in_doubt_since is not null;
-- The texts of a person: for the daily cap, and for an opt-out. A number may be several customers'.
create index if not exists sms_retry_queue_customer on public.sms_retry_queue (customer_id);
create index if not exists customers_phone on public.customers (phone);
create index if not exists send_logs_customer_id on public.send_logs (customer_id);
-- Recovery reads all claims. By id: an index on the lease itself would cost every begin its HOT update.
create index if not exists sms_retry_queue_claimed
    on public.sms_retry_queue (id) where status = 'processing';

-- The state machine. Added unvalidated, then validated: a row that broke a rule before there was one is
-- reported, and must keep the rule from its next change on.
do $$
declare
    rule record;
begin
    for rule in
        select * from (values
            ('sms_retry_queue_status', $c$status in ('pending', 'processing', 'completed', 'failed', 'cancelled')$c$),
            ('sms_retry_queue_message_class', $c$message_class in ('marketing', 'transactional')$c$),
            ('sms_retry_queue_reason', $c$reason in ('quiet_hours', 'twilio_error', 'rate_limit')$c$),
            -- Attempts count sends made; a row that may make none has no business being queued.
            ('sms_retry_queue_attempts', $c$attempt_count >= 0 and max_attempts >= 1$c$),
            -- Who processes has a lease, or nobody could ever take the row back.
            ('sms_retry_queue_lease', $c$status <> 'processing' or claimed_at is not null$c$),
            -- Only a claimed row is begun, and what was begun has a name.
            ('sms_retry_queue_begun', $c$begun_at is null or (status = 'processing' and attempt_id is not null)$c$),
            -- A doubt is about one attempt, and a text known to be sent is not in doubt.
            ('sms_retry_queue_doubt', $c$in_doubt_since is null or (attempt_id is not null and status <> 'completed')$c$)
        ) as r (name, expression)
    loop
        execute format('alter table public.sms_retry_queue drop constraint if exists %I', rule.name);
        execute format('alter table public.sms_retry_queue add constraint %I check (%s) not valid', rule.name, rule.expression);
        begin
            execute format('alter table public.sms_retry_queue validate constraint %I', rule.name);
        exception when check_violation then
            raise warning 'sms_retry_queue holds rows that break %: %', rule.name, rule.expression
                using hint = 'Find them with: select id from sms_retry_queue where not (' || rule.expression || ')';
        end;
    end loop;
end
$$;

-- At most one row: there while sending makes no sense, for a reason that concerns the account or Twilio itself.
create table if not exists smsretry.circuit (
    only_one boolean primary key default true check (only_one),
    opened_at timestamptz not null,
    why text not null
);

-- US states to which no marketing text goes until somebody lifts it: some forbid it during a declared emergency.
create table if not exists smsretry.stopped_states (
    state text primary key check (state ~ '^[A-Z]{2}$'),
    stopped_at timestamptz not null,
    why text not null
);

-- Claims and finishes rewrite rows all day: vacuum by count, not by a share of the table.
alter table public.sms_retry_queue set (fillfactor = 80, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);

-- An unreadable sms_hours holds every text of its business. The grammar is smsretry.rules.parse_week's, which also sees
-- what closes before it opens.
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
