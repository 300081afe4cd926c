-- One row a send that was begun: inserted by begin, settled once, deleted only with its row of the
-- queue. The columns delivery_… are what Twilio reported. smsretry.guard_attempt keeps its rules.
create table if not exists public.sms_send_attempts (
    id uuid primary key,
    retry_id uuid not null references public.sms_retry_queue (id) on delete cascade,
    attempt_number integer not null, -- 1, 2, 3 … for retries; 0 for a text's first send by send_sms
    claim_no bigint not null,
    begun_at timestamptz not null,
    finished_at timestamptz,
    outcome smsretry.outcome,
    settled_by smsretry.settled_by,
    error_code integer,
    twilio_sid text,
    consent_status text, -- with its time and source: as it was read when the send began
    consent_at timestamptz,
    consent_source text,
    quiet_hours_rule text,
    -- smsretry.number_key of business and number, by which texts to a person are counted
    number_key bytea,
    -- what was sent: evidence is compared with these three, never with what the rows say now
    sent_to text,
    sent_body text,
    sent_by text,
    worker_died boolean not null default false, -- nobody knows whether the request ever left
    run_id uuid, -- smsretry.runs, and in Prefect the flow run of this id
    delivery_status smsretry.delivery_status, -- what Twilio last reported of the message; null: nothing yet
    delivery_code integer, -- Twilio's, of a message that did not arrive
    delivery_at timestamptz, -- when delivery_status was reported
    -- when to ask Twilio, or to decide about a failure; null: nothing is open
    delivery_ask_at timestamptz,
    -- how often its delivery was looked at: fences what such a look comes to
    delivery_asks integer not null default 0,
    business_id uuid,
    -- where all later questions go. Null, as sent_by: nobody wrote it down (the application's own
    -- processor, a restored backup)
    sent_account text,
    segments integer, -- what it takes of its sender's rate and day
    leaves_at timestamptz, -- its slot of its sender; null: at once
    -- what a person must mend, for which it was refused or which it tries: the code and, where it
    -- is about that, the destination
    refused_for text,
    -- its sender was the reason why it did not arrive: it counts neither as an attempt nor as a
    -- failed delivery
    delivery_excused boolean not null default false,
    -- A Twilio message belongs to one attempt.
    constraint sms_send_attempts_twilio_sid_key unique (twilio_sid),
    -- A claim sends at most once.
    constraint sms_send_attempts_one_per_claim unique (retry_id, claim_no)
) with (autovacuum_analyze_scale_factor = 0, autovacuum_analyze_threshold = 5000);

-- For the daily cap.
create index if not exists sms_send_attempts_number
    on public.sms_send_attempts (number_key, (coalesce(finished_at, begun_at)));
-- Attempts in doubt or under way have sent_to: a look for evidence compares them. The others are
-- here by when their delivery is looked at.
create index if not exists sms_send_attempts_open on public.sms_send_attempts (sent_to, delivery_ask_at)
    where sent_to is not null or delivery_ask_at is not null;
-- The day's sends. A BRIN, because attempts are added in the order of time. It is kept up while
-- they are: before a vacuum, which comes after a share of the table, every look at the day would
-- read all that was added since the last one.
create index if not exists sms_send_attempts_begun on public.sms_send_attempts using brin (begun_at)
    with (pages_per_range = 16, autosummarize = on);
-- Which text tries what a person must mend.
create index if not exists sms_send_attempts_refused on public.sms_send_attempts (sent_account, sent_by, refused_for, begun_at)
    where refused_for is not null;
-- For every look for evidence. A hash, because the value may be of any length.
create index if not exists send_logs_twilio_sid on public.send_logs using hash ((provider_message_id ->> 'twilio_sid'));

alter table public.sms_send_attempts enable row level security;

drop policy if exists "Owners read their attempts" on public.sms_send_attempts;
create policy "Owners read their attempts" on public.sms_send_attempts for select to authenticated
    using (exists (select from public.sms_retry_queue q where q.id = retry_id));

-- Attempts are deleted only with their row, by prune_sms_history or with its business.
revoke delete, truncate on public.sms_send_attempts from service_role;
grant select, insert, update on public.sms_send_attempts to service_role;
-- As sms_retry_queue.
revoke all on public.sms_send_attempts from public, anon, authenticated;
grant select on public.sms_send_attempts to authenticated;
