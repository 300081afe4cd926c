-- ======== drop public.record_sms_consent ========
do $$
declare
    version regprocedure;
begin
    for version in
        select p.oid::regprocedure from pg_catalog.pg_proc p
        where p.pronamespace = 'public'::regnamespace and p.proname = 'record_sms_consent'
    loop
        -- Whom an owner lets call it: schemas/rights/public_functions.sql grants it to them again.
        perform set_config('smsretry.granted_record_sms_consent', array_agg(distinct g.grantee::regrole)::text, false)
        from pg_catalog.pg_proc p cross join pg_catalog.aclexplode(p.proacl) g
        where p.oid = version and g.grantee not in (0, p.proowner)
          and g.grantee::regrole::text not in ('anon', 'authenticated', 'service_role')
        having count(*) > 0;
        execute format('drop function %s', version);
    end loop;
end
$$;

-- ======== drop public.explain_sms ========
do $$
declare
    version regprocedure;
begin
    for version in
        select p.oid::regprocedure from pg_catalog.pg_proc p
        where p.pronamespace = 'public'::regnamespace and p.proname = 'explain_sms'
    loop
        -- Whom an owner lets call it: schemas/rights/public_functions.sql grants it to them again.
        perform set_config('smsretry.granted_explain_sms', array_agg(distinct g.grantee::regrole)::text, false)
        from pg_catalog.pg_proc p cross join pg_catalog.aclexplode(p.proacl) g
        where p.oid = version and g.grantee not in (0, p.proowner)
          and g.grantee::regrole::text not in ('anon', 'authenticated', 'service_role')
        having count(*) > 0;
        execute format('drop function %s', version);
    end loop;
end
$$;

-- ======== drop public.prune_sms_history ========
do $$
declare
    version regprocedure;
begin
    for version in
        select p.oid::regprocedure from pg_catalog.pg_proc p
        where p.pronamespace = 'public'::regnamespace and p.proname = 'prune_sms_history'
    loop
        -- Whom an owner lets call it: schemas/rights/public_functions.sql grants it to them again.
        perform set_config('smsretry.granted_prune_sms_history', array_agg(distinct g.grantee::regrole)::text, false)
        from pg_catalog.pg_proc p cross join pg_catalog.aclexplode(p.proacl) g
        where p.oid = version and g.grantee not in (0, p.proowner)
          and g.grantee::regrole::text not in ('anon', 'authenticated', 'service_role')
        having count(*) > 0;
        execute format('drop function %s', version);
    end loop;
end
$$;

-- ======== schemas/checks/check_functions.sql is removed ========
do $$
declare
    version regprocedure;
begin
    for version in
        select p.oid::regprocedure from pg_catalog.pg_proc p
        where p.pronamespace = 'smsretry'::regnamespace and p.proname = 'check_functions'
    loop
        execute format('drop function %s', version);
    end loop;
end
$$;

-- ======== schemas/checks/check_parts.sql is removed ========
do $$
declare
    version regprocedure;
begin
    for version in
        select p.oid::regprocedure from pg_catalog.pg_proc p
        where p.pronamespace = 'smsretry'::regnamespace and p.proname = 'check_parts'
    loop
        execute format('drop function %s', version);
    end loop;
end
$$;

-- ======== schemas/tables/customer_changes.sql ========
-- When a customer's consent or number changed, for the stories of their texts. Of a number only the last digits are kept.
-- No foreign key: a deleted customer's texts keep their story, and prune_sms_history deletes what no text needs.
create table if not exists smsretry.customer_changes (
    customer_id uuid not null,
    at timestamptz not null,
    what text not null,
    was text,
    became text,
    source text,
    constraint customer_changes_what check (what in ('consent', 'number'))
);
create index if not exists customer_changes_customer on smsretry.customer_changes (customer_id, at);

-- Default privileges may be wide.
revoke all on smsretry.customer_changes from public, anon, authenticated;
grant select on smsretry.customer_changes to service_role;

-- ======== by hand: public.sms_retry_queue ========
alter table public.sms_retry_queue add column if not exists first_due_at timestamptz;

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

-- ======== by hand: smsretry.steps ========
alter table smsretry.steps
    add column if not exists until timestamptz,
    add column if not exists times integer not null default 1,
    add column if not exists last_at timestamptz,
    add column if not exists since timestamptz,
    add column if not exists why_code text;
alter table smsretry.steps drop constraint if exists steps_step;
alter table smsretry.steps add constraint steps_step check (step in (
    'requeued', 'cancelled', 'went out', 'did not go out', 'put in doubt', 'looked again', 'opted in', 'opted out',
    'deferred', 'given back', 'held', 'to be tried again', 'taken back', 'in doubt', 'looked for', 'not found',
    'failed', 'completed', 'queued anew', 'put off', 'more'));

-- ======== schemas/tables/steps.sql ========
-- A text's story beyond its attempts: what it waited for and how it ended (smsretry.keep_step), and what people did to it, who
-- they were and why. A text that goes out at the first try has no line.
create table if not exists smsretry.steps (
    retry_id uuid not null references public.sms_retry_queue (id) on delete cascade,
    taken_at timestamptz not null,
    step text not null,
    who text not null,
    because text not null,
    until timestamptz,
    times integer not null default 1,
    last_at timestamptz,
    since timestamptz,
    why_code text,
    -- The first row is people's. smsretry.step_of says what the others mean.
    constraint steps_step check (step in (
        'requeued', 'cancelled', 'went out', 'did not go out', 'put in doubt', 'looked again', 'opted in', 'opted out',
        'deferred', 'given back', 'held', 'to be tried again', 'taken back', 'in doubt', 'looked for', 'not found',
        'failed', 'completed', 'queued anew', 'put off', 'more')),
    constraint steps_lengths check (length(who) between 1 and 200 and length(because) between 1 and 500)
);
comment on column smsretry.steps.who is 'smsretry, the application, or the name that a person gave.';
comment on column smsretry.steps.until is 'Until when the text then waited.';
comment on column smsretry.steps.times is 'How often it happened in a row for the same reason, until last_at.';
comment on column smsretry.steps.last_at is 'When it happened last. Null: at taken_at.';
comment on column smsretry.steps.since is 'Since when the worker had the text that it was taken back from.';
create index if not exists steps_retry on smsretry.steps (retry_id, taken_at);

-- Default privileges may be wide.
revoke all on smsretry.steps from public, anon, authenticated;
grant select, insert on smsretry.steps to service_role;

-- ======== schemas/helpers/holds_for_all.sql ========
-- Whether a policy's expression, as the catalog prints it, is met by every row for whoever is signed in.
create or replace function smsretry.holds_for_all(expression text)
returns boolean language sql immutable set search_path = pg_catalog, pg_temp as $$
    select coalesce(regexp_replace(lower(holds_for_all.expression), '[()\s]', '', 'g')
        ~ '^(true|1=1|(select)?auth\.uid(asuid)?isnotnull|(select)?auth\.role(asrole)?=''authenticated''::text)$', false)
$$;

-- ======== schemas/helpers/our_relations.sql ========
-- The tables and views that smsretry defines or shares with the application. ours: the application has nothing in it.
create or replace function smsretry.our_relations()
returns table (id oid, named text, relkind "char", ours boolean)
language sql stable security invoker set search_path = pg_catalog, pg_temp as $$
    select c.oid, c.oid::regclass::text, c.relkind,
           n.nspname = 'smsretry' or c.relname in ('sms_retry_queue', 'sms_send_attempts')
    from pg_class c
    join pg_namespace n on n.oid = c.relnamespace
    where c.relkind in ('r', 'p', 'v', 'm', 'f')
      and (n.nspname = 'smsretry' or n.nspname = 'public' and c.relname in (
          'businesses', 'customers', 'send_logs', 'scheduled_sends', 'sms_retry_queue', 'sms_send_attempts'))
$$;

-- ======== schemas/helpers/step_of.sql ========
-- What a change of a row means for its text's story. Its status is not processing afterwards.
--   deferred: waits for a reason that is no failure · given back: not tried, because the run stopped sending it · held
--   to be tried again: a send of it came to nothing · taken back: its worker fell silent before a send began
--   in doubt · looked for: found neither it nor its absence · not found: it counts as not gone out
--   failed, cancelled, completed · queued anew: after its end · put off: its time was moved while it waited
create or replace function smsretry.step_of(was public.sms_retry_queue, retry public.sms_retry_queue)
returns text language sql immutable set search_path = pg_catalog, pg_temp as $$
    select case
        when retry.status in ('failed', 'cancelled', 'completed') then retry.status
        when was.status in ('failed', 'cancelled', 'completed') then 'queued anew'
        when was.in_doubt_since is null and retry.in_doubt_since is not null then 'in doubt'
        when was.in_doubt_since is not null and retry.in_doubt_since is null then 'not found'
        when was.status = 'pending' then 'put off'
        when retry.recover_count > was.recover_count then 'taken back'
        when retry.held_since is not null then 'held'
        when retry.in_doubt_since is not null then 'looked for'
        when was.begun_at is not null or was.claimed_by_application then 'to be tried again'
        when retry.why is null and retry.scheduled_for = was.scheduled_for then 'given back'
        else 'deferred'
    end
$$;

-- ======== schemas/queue/before_insert.sql ========
-- A row is inserted: the claim of the application's own processor ends, a doubt about an earlier send of the text is kept,
-- and its age counts from now by the one clock. When it was first due is kept. security definer, because a tenant may not update rows. If row level
-- security refuses the row, all of this is undone.
create or replace function smsretry.before_insert()
returns trigger language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    v_doubt record;
begin
    if new.status = 'pending' then
        new.created_at := smsretry.clock();
        perform smsretry.supersede(new.send_log_id, new.attempt_count);
        select * into v_doubt from smsretry.earlier_doubt(new.send_log_id, new.business_id);
        if v_doubt.attempt_id is not null then
            new.attempt_id := v_doubt.attempt_id;
            new.in_doubt_since := v_doubt.since;
            new.why := v_doubt.why;
            new.why_code := 'in_doubt';
        end if;
    end if;
    new.first_due_at := new.scheduled_for;
    new.last_error := left(new.last_error, smsretry.longest_reason());
    return new;
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
        insert into smsretry.steps (retry_id, taken_at, step, who, because)
        select q.id, v_now, replace(record_sms_consent.consent, '_', ' '), record_sms_consent.who, record_sms_consent.because
        from public.sms_retry_queue q
        where q.status <> 'completed'
          and q.customer_id in (select c.id from public.customers c
                                where (c.phone = v_phone or c.id = record_sms_consent.customer_id)
                                  and (v_business is null or c.business_id = v_business))
        -- A worker's lock keeps nobody's word from being recorded.
        order by q.updated_at desc limit 100 for key share skip locked;
    end if;
    return next;
end
$$;

-- ======== schemas/scheduled/keep_scheduled.sql ========
-- Keep a scheduled send that could not be queued for a reason that is not its own: held if somebody must mend it (trouble),
-- for life at most, otherwise later. result: held | later | cancelled. If a trigger or a rule refuses even this,
-- smsretry.held_sends keeps it, and the others go on. The caller holds the row locked.
create or replace function smsretry.keep_scheduled(
    send public.scheduled_sends, trouble text, life interval, look_at timestamptz, at timestamptz,
    out result text, out why text, out why_code text
)
language plpgsql set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
declare
    v_since timestamptz;
    v_expired boolean;
    v_status text;
    v_due timestamptz;
    v_state text;
    v_table text;
    v_column text;
    v_rule text;
begin
    v_since := coalesce(
        send.held_since, (select h.held_since from smsretry.held_sends h where h.scheduled_id = send.id));
    v_expired := keep_scheduled.trouble is not null and coalesce(v_since + keep_scheduled.life <= keep_scheduled.at, false);
    begin
        result := case when v_expired then 'cancelled' when keep_scheduled.trouble is null then 'later' else 'held' end;
        why := case when v_expired then 'Expired before it could be sent. ' else '' end || keep_scheduled.trouble;
        why_code := case result when 'cancelled' then 'expired' when 'held' then 'row_refused' end;
        update public.scheduled_sends s
        set status = case keep_scheduled.result when 'cancelled' then 'cancelled' else s.status end,
            why = case keep_scheduled.result when 'later' then s.why else left(keep_scheduled.why, smsretry.longest_reason()) end,
            why_code = case keep_scheduled.result when 'later' then s.why_code else keep_scheduled.why_code end,
            held_since = case keep_scheduled.result when 'held' then coalesce(v_since, keep_scheduled.at)
                                                    when 'later' then s.held_since end,
            look_at = case when keep_scheduled.result <> 'cancelled' then keep_scheduled.look_at end
        where s.id = send.id
        returning s.status, coalesce(s.look_at, s.scheduled_for) into v_status, v_due;
        if coalesce(v_status = 'scheduled' and (v_expired or v_due < keep_scheduled.look_at), true) then
            raise exception 'It stays as it was' using errcode = 'SR409';
        end if;
        set constraints all immediate; -- a deferred check would undo the others, too
    exception when others then
        get stacked diagnostics v_state = returned_sqlstate, v_table = table_name, v_column = column_name,
            v_rule = constraint_name;
        raise warning 'Scheduled send % could not be changed: %', send.id, v_state;
        result := 'held';
        why_code := 'row_refused';
        why := left(concat_ws('. ', keep_scheduled.trouble, case
            when v_state = 'SR409' then 'Its row stays as it is, whatever is written: look for a trigger on scheduled_sends '
                || 'that swallows or undoes updates'
            else 'Its row cannot be changed: '
                || concat_ws(', ', v_state, nullif(v_table, ''), nullif(v_column, ''), nullif(v_rule, ''))
                || '. Fix the row, or look at the triggers and rules of scheduled_sends' end), smsretry.longest_reason());
        insert into smsretry.held_sends (scheduled_id, held_since, look_at, expired, why)
        values (send.id, coalesce(v_since, keep_scheduled.at), keep_scheduled.look_at, v_expired, keep_scheduled.why)
        on conflict (scheduled_id) do update
        set look_at = excluded.look_at, expired = held_sends.expired or excluded.expired, why = excluded.why;
    end;
end
$$;

-- ======== schemas/senders/add_sms_sender.sql ========
-- For a person: texts of this business, or of one class, go out from this sender from now on. A sender that is known already
-- is shared. Texts that waited because of the one before are due at once; one that is under way ends where it began.
--   account, sent_by: smsretry.sender_problem has their shapes · message_class: null: any; one of a class outranks it
--   segments_per_second, segments_per_day: null: not limited here, or as the others have it who share it
--   replace: take the place of an active sender; a paused one is always replaced · dry_run: check all this, and do nothing
-- Returns the sender, how many businesses use it now, and how many texts became due.
create or replace function public.add_sms_sender(
    business_id uuid, account text, sent_by text, message_class text default null,
    segments_per_second double precision default null, segments_per_day integer default null,
    who text default null, because text default null, replace boolean default false, dry_run boolean default false
)
returns table (sender_id uuid, sender text, businesses integer, released integer)
language plpgsql security invoker set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_variable
declare
    v_class constant text := coalesce(message_class, 'any');
    v_sender smsretry.senders;
    v_had smsretry.senders;
begin
    perform smsretry.check_who_and_why(who, because);
    if v_class not in ('any', 'marketing', 'transactional') then
        raise exception 'message_class must be marketing or transactional; leave it out for both' using errcode = 'SR422';
    end if;
    if not exists (select from public.businesses b where b.id = business_id) then
        raise exception 'There is no business with this id' using errcode = 'SR422';
    end if;
    v_sender := smsretry.keep_sender(account, sent_by, segments_per_second, segments_per_day);
    sender_id := v_sender.id;
    sender := smsretry.shown_sender(v_sender.sent_by);
    select s.* into v_had
    from smsretry.business_senders b join smsretry.senders s on s.id = b.sender_id
    where b.business_id = business_id and b.message_class = v_class for update of b;
    if v_had.id <> v_sender.id and v_had.paused_at is null and replace is not true then
        raise exception 'This business already has an active sender for % texts: % of account %. Replace it (replace => true, or --replace), or remove or pause it first',
            v_class, smsretry.shown_sender(v_had.sent_by), v_had.account using errcode = 'SR422';
    end if;
    if dry_run then
        perform smsretry.forget_unused_senders();
        businesses := cardinality(smsretry.users_of(v_sender.id));
        released := 0;
        return next;
        return;
    end if;
    insert into smsretry.business_senders as b (business_id, message_class, sender_id)
    values (business_id, v_class, v_sender.id)
    on conflict on constraint business_senders_pkey do update set sender_id = excluded.sender_id
    -- Somebody else was faster: it is not known what theirs replaced.
    where b.sender_id is not distinct from v_had.id or b.sender_id = v_sender.id;
    if not found then
        raise exception 'Somebody else gives this business a sender at this moment: look, and give the order again' using errcode = 'SR422';
    end if;
    perform smsretry.note_sender_step(v_sender, 'added', who, because, business_id, v_class);
    perform smsretry.forget_unused_senders();
    businesses := cardinality(smsretry.users_of(v_sender.id));
    released := smsretry.hurry_texts(array[business_id]);
    return next;
end
$$;

-- ======== schemas/records/calls_that_help.sql ========
-- The calls that a person may make about a text: what the database permits, and not what is advised. explain_sms: its next
-- try, which is another row of the same text.
create or replace function smsretry.calls_that_help(
    retry public.sms_retry_queue, log public.send_logs, customer public.customers
)
returns text[] language plpgsql stable set search_path = pg_catalog, pg_temp as $$
begin
    return case
        when log.id is null or customer.id is null then '{}'
        when retry.status in ('failed', 'cancelled') then case
            when smsretry.not_requeued(retry, log, array[retry.status]) is null then array['requeue_failed_sms']
            when smsretry.is_sent(log.provider_message_id, log.status::text)
                and not smsretry.is_undelivered(log.id, log.provider_message_id) then '{}'
            when smsretry.is_unsettled(retry.id) then array['resolve_sms_doubt']
            else array['explain_sms'] end
        when retry.status = 'pending' then
            array[case when retry.in_doubt_since is null then 'cancel_sms_retries' else 'resolve_sms_doubt' end]
            || case when smsretry.not_looked_at(retry, smsretry.clock()) is null then array['look_again_sms'] else '{}' end
        else '{}'
    end;
end
$$;

-- ======== schemas/records/keep_customer_changes.sql ========
-- A customer's consent or number has changed: smsretry.customer_changes.
-- security definer, because tenants may write customers and not this. It never refuses their write.
create or replace function smsretry.keep_customer_changes()
returns trigger language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    v_now timestamptz;
begin
    v_now := smsretry.clock();
    if old.sms_consent_status is distinct from new.sms_consent_status then
        insert into smsretry.customer_changes (customer_id, at, what, was, became, source)
        values (new.id, v_now, 'consent', left(old.sms_consent_status::text, 40), left(new.sms_consent_status::text, 40),
                left(smsretry.numberless(left(new.sms_consent_source::text, 1000)), 200));
    end if;
    if old.phone is distinct from new.phone then
        insert into smsretry.customer_changes (customer_id, at, what, was, became)
        values (new.id, v_now, 'number', smsretry.masked(old.phone::text), smsretry.masked(new.phone::text));
    end if;
    return null;
exception when others then
    raise warning 'The stories of customer %''s texts miss a change: %', new.id, sqlstate;
    return null;
end
$$;

-- ======== schemas/records/keep_step.sql ========
-- A text no longer goes straight from the queue to its send: a line of its story (smsretry.steps). What only repeats the last
-- line is counted there. The lines that people write themselves are left to the functions that they call.
-- security definer, because the application writes rows and not stories. It never refuses or stops their change.
create or replace function smsretry.keep_step()
returns trigger language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    k_lines constant integer := 100; -- a text may wait for days for two reasons in turn; its ends have as many again
    v_now timestamptz;
    v_step text;
    v_who text;
    v_because text;
    v_lines integer;
    v_last record; -- without that table a row type would be an error that nothing catches
begin
    if new.why_code in ('operator', 'restored') and new.status in ('pending', 'cancelled')
        and (new.why_code, new.why, new.in_doubt_since is null)
            is distinct from (old.why_code, old.why, old.in_doubt_since is null) then
        return null;
    end if;
    v_now := smsretry.clock();
    v_step := smsretry.step_of(old, new);
    if v_step = 'completed' and exists (
            select 1 from public.sms_send_attempts a where a.retry_id = new.id and a.outcome = 'accepted') then
        return null; -- the attempt says so
    end if;
    -- Our functions leave no lease behind, and say why they end or move a row.
    v_who := case
        when v_step in ('completed', 'put off') or new.claimed_at is not null
            or old.status <> 'processing' and (new.why_code, new.why, new.in_doubt_since)
                is not distinct from (old.why_code, old.why, old.in_doubt_since)
            then 'the application'
        else 'smsretry'
    end;
    v_because := case
        when v_step in ('failed', 'cancelled', 'queued anew', 'to be tried again') then new.last_error
        when v_step in ('deferred', 'held') then new.why
        when v_step = 'in doubt' then coalesce(new.why, new.last_error)
    end;
    select t.*, count(*) over () as lines into v_last from smsretry.steps t
    where t.retry_id = new.id order by coalesce(t.last_at, t.taken_at) desc limit 1;
    v_lines := coalesce(v_last.lines, 0);
    if v_lines >= 2 * k_lines or v_lines >= k_lines and v_step not in ('failed', 'cancelled', 'completed', 'queued anew') then
        v_step := 'more';
        v_who := 'smsretry'; -- of whoever: one line
        v_because := null;
    end if;
    v_because := coalesce(nullif(btrim(left(smsretry.numberless(v_because), 500)), ''), 'not said');

    if v_last.step = v_step and v_last.who = v_who
        and (v_step = 'more' or v_last.why_code is not distinct from new.why_code)
        and v_step not in ('failed', 'cancelled', 'completed', 'queued anew') then
        update smsretry.steps t
        set times = t.times + 1, last_at = v_now, until = new.scheduled_for, because = v_because
        where t.retry_id = new.id and t.taken_at = v_last.taken_at and t.step = v_step;
    else
        insert into smsretry.steps (retry_id, taken_at, step, who, because, until, since, why_code)
        values (new.id, v_now, v_step, v_who, v_because,
                case when new.status = 'pending' then new.scheduled_for end,
                case when v_step = 'taken back' then old.claimed_at end,
                case when v_step <> 'more' then new.why_code end);
    end if;
    return null;
exception when others then
    raise warning 'The story of text % misses a line: %', new.id, sqlstate;
    return null;
end
$$;

-- ======== schemas/records/prunable_texts.sql ========
-- Texts that are over and that no evidence is still needed for. What pruning deletes of them, and counts, depends on their age.
create or replace view smsretry.prunable_texts with (security_invoker = true) as
select q.id, q.updated_at
from public.sms_retry_queue q
where q.status in ('completed', 'failed', 'cancelled') and not smsretry.is_unsettled(q.id);

-- ======== drop smsretry.scheduled_on_record ========
drop view if exists smsretry.scheduled_on_record;

-- ======== schemas/records/scheduled_on_record.sql ========
-- A scheduled send without a text, as explain_sms shows it, in the columns of smsretry.text_on_record. retry_id: its own id.
-- Times and classes that the application wrote are shown as far as they are valid.
create or replace view smsretry.scheduled_on_record with (security_invoker = true) as
select s.id as retry_id, s.business_id, left(b.name, 200) as business, s.customer_id, null::uuid as send_log_id,
       smsretry.masked(c.phone) as number, left(smsretry.numberless(left(c.timezone, 1000)), 100) as timezone, left(smsretry.numberless(left(b.timezone, 1000)), 100) as business_timezone,
       case s.message_class when 'transactional' then 'transactional' else 'marketing' end as message_class,
       case when s.status = 'scheduled' and (s.held_since is not null or h.scheduled_id is not null) then 'held' else s.status end as state,
       greatest(least(coalesce(s.held_since, case s.status when 'scheduled' then h.held_since end, s.updated_at, smsretry.clock()),
                      k.last), k.first) as since,
       left(smsretry.numberless(case when s.status = 'scheduled' then coalesce(h.why, s.why) else s.why end), smsretry.longest_reason()) as why,
       null::integer as code,
       case when s.status = 'scheduled' and s.scheduled_for is not null then least(greatest(s.scheduled_for, s.look_at, h.look_at, k.first), k.last) end as next_at,
       case when s.not_after between k.first and k.last then s.not_after end as expires_at,
       0 as attempts, 3 as max_attempts, greatest(least(coalesce(s.created_at, smsretry.clock()), k.last), k.first) as queued_at,
       left(c.sms_consent_status::text, 40) as consent, smsretry.on_calendar(c.sms_consent_at) as consent_at,
       left(smsretry.numberless(c.sms_consent_source), 200) as consent_source,
       smsretry.on_calendar(smsretry.suppressed_since(smsretry.number_key(s.business_id, c.phone))) as suppressed_since,
       left(smsretry.numberless(c.phone_status::text), 40) as phone_status, null::text as send_log_status, null::text as sid,
       '[]'::jsonb as history, '[]'::jsonb as steps,
       case when s.status = 'scheduled' then array['cancel_sms_retries'] else '{}' end::text[] as can,
       smsretry.clock() as asked_at,
       smsretry.unread_stop(c.phone) as stop_sid,
       case when s.status = 'scheduled' and h.scheduled_id is not null then 'row_refused' else s.why_code end as why_code,
       case when o.id is not null then smsretry.name_of_sender(o) end as sender_name,
       smsretry.shown_sender(case when o.id is null then d.sent_by else o.sent_by end) as sender, coalesce(o.account, d.account) as account,
       null::timestamptz as first_due_at, null::timestamptz as held_since, 0 as looks, '[]'::jsonb as changes,
       coalesce(c.sms_consent_status::text = 'opted_out' and smsretry.start_lifts(c.sms_consent_source), false) as needs_start
from public.scheduled_sends s
cross join (select lower(smsretry.century()) as first, upper(smsretry.century()) as last) k
left join smsretry.held_sends h on h.scheduled_id = s.id
left join public.businesses b on b.id = s.business_id
left join public.customers c on c.id = s.customer_id and c.business_id = s.business_id
left join lateral smsretry.sender_of(s.business_id, s.message_class) o on true
left join lateral (select e.sent_by, e.account from smsretry.default_senders e where o.id is null order by e.seen_at desc limit 1) d on true
where s.send_log_id is null and s.status in ('scheduled', 'cancelled', 'failed');

grant select on smsretry.scheduled_on_record to service_role;

-- ======== drop smsretry.text_on_record ========
drop view if exists smsretry.text_on_record;

-- ======== schemas/records/text_on_record.sql ========
-- A text and all that is known of it, as explain_sms shows it. Holds only the last four digits of a number, also where the
-- application wrote freely. security_invoker, so that row level security is the reader's.
--   state: smsretry.text_state · since: when that began · next_at: when it is looked at again · history: its attempts, and
--   the one it is in doubt about · steps: smsretry.steps · can: the calls that help · stop_sid: smsretry.unread_stop
--   looks: for evidence, that found nothing · changes: of its customer's consent and number, and the last before it
--   sender, account: what it goes out from, as people see it · sender_name: smsretry.name_of_sender; null: the environment's
create or replace view smsretry.text_on_record with (security_invoker = true) as
select q.id as retry_id, q.business_id, left(b.name, 200) as business, q.customer_id, q.send_log_id,
       smsretry.masked(c.phone) as number, left(smsretry.numberless(left(c.timezone, 1000)), 100) as timezone, left(smsretry.numberless(left(b.timezone, 1000)), 100) as business_timezone,
       q.message_class, smsretry.text_state(q, smsretry.clock()) as state,
       coalesce(q.in_doubt_since, q.held_since, q.updated_at) as since,
       left(smsretry.numberless(
           case when q.status in ('failed', 'cancelled') then q.last_error else coalesce(q.why, q.last_error) end), smsretry.longest_reason()) as why,
       q.error_code as code, case when q.status = 'pending' then q.scheduled_for end as next_at, q.expires_at,
       q.attempt_count as attempts, q.max_attempts, q.created_at as queued_at,
       left(c.sms_consent_status::text, 40) as consent, smsretry.on_calendar(c.sms_consent_at) as consent_at,
       left(smsretry.numberless(c.sms_consent_source), 200) as consent_source,
       smsretry.on_calendar(smsretry.suppressed_since(smsretry.number_key(q.business_id, c.phone))) as suppressed_since,
       left(smsretry.numberless(c.phone_status::text), 40) as phone_status,
       left(smsretry.numberless(l.status::text), 40) as send_log_status,
       left(smsretry.numberless(smsretry.found_sid(l.provider_message_id)), 40) as sid,
       coalesce((select jsonb_agg(jsonb_build_object(
                     'begun_at', a.begun_at, 'finished_at', a.finished_at, 'number', a.attempt_number,
                     'outcome', coalesce(a.outcome, 'under_way'), 'settled_by', a.settled_by, 'code', a.error_code,
                     'sid', a.twilio_sid, 'rule', a.quiet_hours_rule, 'consent', a.consent_status,
                     'consent_at', smsretry.on_calendar(a.consent_at), 'consent_source', left(smsretry.numberless(a.consent_source), 200),
                     'worker_died', a.worker_died, 'run_id', a.run_id, 'delivery', a.delivery_status,
                     'delivery_code', a.delivery_code, 'delivery_at', a.delivery_at,
                     'sender', smsretry.shown_sender(a.sent_by), 'account', a.sent_account) order by a.begun_at)
                 from public.sms_send_attempts a where a.retry_id = q.id or a.id = q.attempt_id), '[]') as history,
       coalesce((select jsonb_agg(jsonb_build_object(
                     'taken_at', t.taken_at, 'step', t.step, 'who', t.who, 'because', t.because, 'until', t.until,
                     'times', t.times, 'last_at', t.last_at, 'since', t.since, 'why_code', t.why_code) order by t.taken_at)
                 from smsretry.steps t where t.retry_id = q.id), '[]') as steps,
       smsretry.calls_that_help(q, l, c) as can,
       smsretry.clock() as asked_at,
       smsretry.unread_stop(c.phone) as stop_sid, q.why_code,
       case when o.id is not null then smsretry.name_of_sender(o) end as sender_name,
       smsretry.shown_sender(case when o.id is null then d.sent_by else o.sent_by end) as sender, coalesce(o.account, d.account) as account,
       -- It could not go out before it was queued, unless it was planned.
       case when q.first_due_at < q.created_at
                 and not exists (select 1 from public.scheduled_sends s where s.id = q.send_log_id and s.business_id = q.business_id)
            then q.created_at else q.first_due_at end as first_due_at, q.held_since, q.reconcile_count as looks,
       coalesce((select jsonb_agg(jsonb_build_object('at', x.at, 'what', x.what, 'was', x.was, 'became', x.became,
                                                     'source', x.source) order by x.at)
                 from (select n.* from smsretry.customer_changes n
                       where n.customer_id = q.customer_id order by n.at desc limit 100) x
                 where x.at >= coalesce(
                     (select max(y.at) from smsretry.customer_changes y
                      where y.customer_id = q.customer_id and y.what = x.what and y.at < q.created_at), q.created_at)), '[]') as changes,
       coalesce(c.sms_consent_status::text = 'opted_out' and smsretry.start_lifts(c.sms_consent_source), false) as needs_start
from public.sms_retry_queue q
left join public.businesses b on b.id = q.business_id
left join public.customers c on c.id = q.customer_id
left join public.send_logs l on l.id = q.send_log_id
left join lateral smsretry.sender_of(q.business_id, q.message_class) o on true
left join lateral (select e.sent_by, e.account from smsretry.default_senders e where o.id is null order by e.seen_at desc limit 1) d on true;

grant select on smsretry.text_on_record to service_role;

-- ======== schemas/desk/ask_sms_desk.sql ========
-- A question to the desk for who only reads, answered as one JSON array: explain_sms, look_up_sms, preview_sms_retries,
-- sms_senders or sms_status, with their parameters in asked. No answer holds a whole number or a body.
-- security definer: it is all that smsretry_reader may do. The answers are made from numbers and bodies, so a role that asked
-- as itself could read those, too; and the application's tables would need policies and grants for it.
create or replace function public.ask_sms_desk(question text, asked jsonb default '{}')
returns jsonb language plpgsql stable security definer set search_path = pg_catalog, pg_temp as $$
declare
    v_asked constant jsonb := coalesce(ask_sms_desk.asked, '{}') - 'with_numbers';
    v_ours oid[];
    v_typed text;
    v_passed text;
    v_unknown text;
    v_answer jsonb;
begin
    if (ask_sms_desk.question in ('explain_sms', 'look_up_sms', 'preview_sms_retries', 'sms_senders', 'sms_status')) is not true
        or jsonb_typeof(v_asked) <> 'object' then
        raise exception 'question must be explain_sms, look_up_sms, preview_sms_retries, sms_senders or sms_status, and asked an object'
            using errcode = 'SR422', hint = 'Orders need the service key.';
    end if;
    if length(v_asked ->> 'last_digits') > 4 then -- by one more digit at a time, anybody's whole number would be found
        raise exception 'With the reader''s key, last_digits are 3 or 4: it sees no more of a number' using errcode = 'SR422',
            hint = 'Ask for the last 4, by an id, or for the whole number.';
    end if;
    v_ours := array(select p.oid from pg_catalog.pg_proc p
                    where p.pronamespace = 'public'::regnamespace and p.proname = ask_sms_desk.question);
    -- Another function of that name might be somebody else's, and would run with the owner's rights.
    if cardinality(v_ours) <> 1 or not (select pg_has_role(p.proowner, 'member') from pg_catalog.pg_proc p where p.oid = v_ours[1]) then
        raise exception 'public.% is not the only function of that name, or not this owner''s', ask_sms_desk.question
            using errcode = 'SR422', hint = 'Drop what is not smsretry''s, then run `smsretry migrate --again`.';
    end if;
    select string_agg(format('%I %s', a.name, format_type(a.type, -1)), ', '), string_agg(format('%1$I => g.%1$I', a.name), ', ')
    into v_typed, v_passed
    from pg_catalog.pg_proc p cross join lateral unnest(p.proargnames[1:p.pronargs], p.proargtypes::oid[]) a (name, type)
    where p.oid = v_ours[1] and v_asked ? a.name;
    select string_agg(k, ', ') into v_unknown from jsonb_object_keys(v_asked) k
    where not exists (select from pg_catalog.pg_proc p where p.oid = v_ours[1] and k = any (p.proargnames[1:p.pronargs]));
    if v_unknown is not null then
        raise exception '% has no parameter %', ask_sms_desk.question, v_unknown using errcode = 'SR422';
    end if;
    execute format('select coalesce(jsonb_agg(to_jsonb(a)), ''[]'') from %s cross join lateral public.%I(%s) a',
                   coalesce('jsonb_to_record($1) g (' || v_typed || ')', '(select 1) g'), ask_sms_desk.question, v_passed)
    into v_answer using v_asked;
    if ask_sms_desk.question = 'preview_sms_retries' then
        return (select coalesce(jsonb_agg(smsretry.without_number(e.line) order by e.place), '[]')
                from jsonb_array_elements(v_answer) with ordinality e (line, place));
    end if;
    return v_answer;
end
$$;

-- ======== schemas/desk/cancel_sms_retries.sql ========
-- For a person: cancel waiting texts, and scheduled sends that are not queued yet. A text that is under way or in doubt is
-- left alone. states: scheduled, or as smsretry.text_state; null: all. The rest: as requeue_failed_sms.
create or replace function public.cancel_sms_retries(
    retry_ids uuid[] default null, business_id uuid default null, customer_id uuid default null, code integer default null,
    reason text default null, containing text default null, since timestamptz default null, until timestamptz default null,
    states text[] default null, dry_run boolean default true, who text default null, because text default null,
    row_limit integer default 1000, why_code text default null
)
returns table (matched integer, changed integer, skipped jsonb, warned jsonb, sample jsonb)
language plpgsql security invoker set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_variable
declare
    v_now constant timestamptz := smsretry.clock();
    v_why constant text := 'Cancelled by ' || who || ': ' || because;
    v_row public.sms_retry_queue;
    v_skip text;
    v_rows jsonb[] := '{}';
begin
    if (dry_run is not null and row_limit between 1 and 10000
        and coalesce(states, '{}') <@ array['scheduled', 'due', 'waiting', 'held', 'under_way', 'in_doubt']) is not true then
        raise exception 'states are scheduled, due, waiting, held, under_way or in_doubt, row_limit 1 to 10000' using errcode = 'SR422';
    end if;
    if not dry_run then
        perform smsretry.check_who_and_why(who, because);
    end if;
    for v_row in
        select c.* from smsretry.chosen(
            array['pending', 'processing'], retry_ids, business_id, customer_id, code, reason, containing, since, until,
            why_code) c
        where states is null or smsretry.text_state(c, v_now) = any (states)
        limit row_limit
    loop
        select * into v_row from public.sms_retry_queue q where q.id = v_row.id for update;
        v_skip := case
            when v_row.status not in ('pending', 'processing') then 'It has changed meanwhile'
            when v_row.in_doubt_since is not null then 'It is unknown whether it went out: evidence is looked for'
            when v_row.status = 'processing' then 'A worker has it at this moment'
        end;
        v_rows := v_rows || smsretry.change_of_row(v_row, coalesce(v_row.why, v_row.last_error), v_skip);
        continue when dry_run or v_skip is not null;
        perform smsretry.close_row(v_row, 'cancelled', v_why, 'operator', null, v_now);
        insert into smsretry.steps (retry_id, taken_at, step, who, because) values (v_row.id, v_now, 'cancelled', who, because);
    end loop;
    if coalesce('scheduled' = any (states), true) and num_nonnulls(code, reason) = 0 then
        v_rows := v_rows || smsretry.cancel_scheduled(
            retry_ids, business_id, customer_id, nullif(btrim(containing), ''), since, until,
            row_limit - cardinality(v_rows), dry_run, why_code, v_why);
    end if;
    if cardinality(v_rows) < row_limit then
        v_rows := v_rows || smsretry.left_out(retry_ids, v_rows, true, states, v_now);
    end if;
    return query select * from smsretry.change_summary(v_rows);
end
$$;

-- ======== schemas/desk/change_summary.sql ========
-- The answer of a step: rows (smsretry.change_of_row) counted by why they are skipped or warned of, and a sample. A line
-- without a row's id is no row: somebody named one that is not there.
create or replace function smsretry.change_summary(
    rows jsonb[], out matched integer, out changed integer, out skipped jsonb, out warned jsonb, out sample jsonb
)
language sql stable set search_path = pg_catalog, pg_temp as $$
    with told as (
        select r.told, r.told ->> 'skipped' as skip, r.told ->> 'warned' as warn, r.place
        from unnest(change_summary.rows) with ordinality as r (told, place)
    )
    select (count(*) filter (where t.told ? 'retry_id'))::integer,
           (count(*) filter (where t.skip is null))::integer,
           coalesce((select jsonb_object_agg(s.skip, s.texts) from (
                         select u.skip, count(*) as texts from told u where u.skip is not null group by u.skip) s), '{}'),
           coalesce((select jsonb_object_agg(w.warn, w.texts) from (
                         select u.warn, count(*) as texts from told u
                         where u.warn is not null and u.skip is null group by u.warn) w), '{}'),
           coalesce((select jsonb_agg(f.told order by f.place) from (
                         select u.told, u.place from told u where u.told ? 'retry_id' order by u.place limit 20) f), '[]')
    from told t
$$;

-- ======== schemas/desk/explain_sms.sql ========
-- For a person: what happened to a text, why, and what comes next; newest first. Found by exactly one of row, send log,
-- customer, number, or last digits (three at least) at a business. A scheduled send without a text is found by its own id or
-- its customer. Columns: smsretry.text_on_record.
create or replace function public.explain_sms(
    retry_id uuid default null, send_log_id uuid default null, customer_id uuid default null, phone text default null,
    business_id uuid default null, last_digits text default null, row_limit integer default 20
)
returns setof smsretry.text_on_record
language plpgsql stable security invoker set search_path = pg_catalog, pg_temp
-- A generic plan would read the whole table.
set plan_cache_mode = force_custom_plan as $$
#variable_conflict use_variable
declare
    v_people uuid[];
    v_ids uuid[];
    v_scheduled uuid[];
begin
    if num_nonnulls(retry_id, send_log_id, customer_id, phone, last_digits) <> 1
        or last_digits is not null and (business_id is null or last_digits !~ '^[0-9]{3,15}$')
        or (row_limit between 1 and 200) is not true then
        raise exception 'Say which text, in one way: retry_id, send_log_id, customer_id, phone, or business_id with last_digits (3 digits or more)'
            using errcode = 'SR422';
    end if;
    v_people := case
        when customer_id is not null then array[customer_id]
        when phone is not null then array(select c.id from public.customers c where c.phone = phone)
        when last_digits is not null then array(
            select c.id from public.customers c
            where c.business_id = business_id and c.phone like '%' || last_digits)
    end;
    v_ids := array(
        select q.id from public.sms_retry_queue q
        where (retry_id is null or q.id = retry_id)
          and (send_log_id is null or q.send_log_id = send_log_id)
          and (v_people is null or q.customer_id = any (v_people))
          and (business_id is null or q.business_id = business_id)
        order by q.created_at desc, q.id
        limit row_limit);
    v_scheduled := array(
        select s.id from public.scheduled_sends s
        where s.send_log_id is null and s.status in ('scheduled', 'cancelled', 'failed')
          and (retry_id is null or s.id = retry_id)
          and (send_log_id is null or s.id = send_log_id)
          and (v_people is null or s.customer_id = any (v_people))
          and (business_id is null or s.business_id = business_id)
        order by s.created_at desc, s.id
        limit row_limit);
    return query
    select e.* from (
        select r.* from smsretry.text_on_record r where r.retry_id = any (v_ids)
        union all
        select p.* from smsretry.scheduled_on_record p where p.retry_id = any (v_scheduled)
    ) e
    order by e.queued_at desc, e.retry_id
    limit row_limit;
end
$$;

-- ======== schemas/desk/left_out.sql ========
-- Why an order does not touch rows that somebody named by id: a line each, as smsretry.change_of_row. rows: the lines of those
-- that it looked at. live: whether it is about texts that wait, or about those that have ended. states: it asks for; null: all.
create or replace function smsretry.left_out(
    retry_ids uuid[], rows jsonb[], live boolean, states text[], at timestamptz
)
returns jsonb[] language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
    v_id uuid;
    v_row public.sms_retry_queue;
    v_state text;
    v_skip text;
    v_lines jsonb[] := '{}';
begin
    for v_id in
        select i.id from unnest(left_out.retry_ids) i (id)
        except
        select (r.told ->> 'retry_id')::uuid from unnest(left_out.rows) r (told)
        order by 1
    loop
        select * into v_row from public.sms_retry_queue q where q.id = v_id;
        if v_row.id is null then
            v_state := (select s.status from public.scheduled_sends s where s.id = v_id);
            -- A line without a row's id is counted as left alone, and not as a row.
            v_lines := v_lines || jsonb_build_object('skipped', coalesce('Scheduled send ' || v_id || ' is ' || v_state || coalesce(
                ': its text is row ' || (select q.id from public.sms_retry_queue q where q.send_log_id = v_id
                                         order by q.created_at desc limit 1), ''), 'There is no row ' || v_id));
            continue;
        end if;
        v_state := smsretry.text_state(v_row, left_out.at);
        v_skip := case
            when v_state = 'sent' then 'It is sent already'
            when (v_state in ('failed', 'cancelled')) is not distinct from left_out.live then case
                when left_out.live then 'It has ended, it is ' || v_state || ': requeue it'
                else 'It has not ended, it is ' || replace(v_state, '_', ' ') end
            when v_state <> all (left_out.states)
                then 'It is ' || v_state || ': ask for that state, too (--state ' || v_state || ', States in the form)'
            else 'It does not fit the rest of what was asked for'
        end;
        v_lines := v_lines || smsretry.change_of_row(v_row, coalesce(v_row.why, v_row.last_error), v_skip);
    end loop;
    return v_lines;
end
$$;

-- ======== schemas/desk/like_body.sql ========
-- Another body for one that must not be shown: as long, and with as many segments (smsretry/retry/segments.py).
create or replace function smsretry.like_body(body text)
returns text language plpgsql immutable set search_path = pg_catalog, pg_temp as $$
declare
    -- The alphabet of GSM 03.38 and its extension table. What has any other character is sent as UCS-2.
    k_gsm constant text := '[^ -_a-~' || E'\n\r\f' || '£¥èéùìòÇØøÅåΔΦΓΛΩΠΨΣΘΞÆæßÉ¤¡ÄÖÑÜ§¿äöñüà€]';
    k_two constant text := case when like_body.body ~ k_gsm then '[^' || chr(65536) || '-' || chr(1114111) || ']' else '[^^{}\\[~\]|€' || E'\f]' end;
    v_two constant integer := length(regexp_replace(like_body.body, k_two, '', 'g'));
begin
    if btrim(like_body.body, E' \t\n\r\f') = '' then
        return like_body.body;
    end if;
    return case when like_body.body ~ k_gsm then repeat('ы', length(like_body.body) - v_two) || repeat(chr(128512), v_two)
                else repeat('x', length(like_body.body) - v_two) || repeat('^', v_two) end;
end
$$;

-- ======== schemas/desk/like_number.sql ========
-- Another number for one that must not be shown. What a preview decides by it is the same: it is from the same place, equal
-- numbers of a business stay equal, and a malformed one stays malformed. Its last seven digits are not the number's.
create or replace function smsretry.like_number(business_id uuid, phone text)
returns text language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
    v_kept constant integer := greatest(length(like_number.phone) - 7, 4);
    v_hash bigint;
begin
    if coalesce(like_number.phone, '') = '' then
        return like_number.phone;
    end if;
    if like_number.phone !~ '^[+][1-9][0-9]{6,14}$' then
        return '…';
    end if;
    if like_number.phone ~ '^[+]1[0-9]{10}$' and like_number.phone !~ '^[+]1[2-9][0-9]{2}[2-9]' then
        return '+10000000000';
    end if;
    v_hash := ('x' || left(encode(smsretry.number_key(like_number.business_id, like_number.phone), 'hex'), 12))::bit(48)::bigint;
    -- An exchange of +1 begins with 2 to 9.
    return left(like_number.phone, v_kept) || right((2000000 + v_hash % 8000000)::text, length(like_number.phone) - v_kept);
end
$$;

-- ======== schemas/desk/look_again_sms.sql ========
-- For a person: what texts wait for is fixed, so that the next run looks at them now, and not in some minutes. Held texts and
-- those whose wait is only until the next look (smsretry.not_looked_at). Nothing else about them changes: every check is made
-- anew, and their life goes on. Nothing changes without dry_run => false. The rest: as requeue_failed_sms.
create or replace function public.look_again_sms(
    retry_ids uuid[] default null, business_id uuid default null, customer_id uuid default null, code integer default null,
    reason text default null, containing text default null, since timestamptz default null, until timestamptz default null,
    dry_run boolean default true, who text default null, because text default null, row_limit integer default 1000,
    why_code text default null
)
returns table (matched integer, changed integer, skipped jsonb, warned jsonb, sample jsonb)
language plpgsql security invoker set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_variable
declare
    v_now constant timestamptz := smsretry.clock();
    v_row public.sms_retry_queue;
    v_skip text;
    v_rows jsonb[] := '{}';
begin
    if (dry_run is not null and row_limit between 1 and 10000) is not true then
        raise exception 'dry_run must be given, and row_limit be 1 to 10000' using errcode = 'SR422';
    end if;
    if not dry_run then
        perform smsretry.check_who_and_why(who, because);
    end if;
    for v_row in
        select c.* from smsretry.chosen(
            array['pending', 'processing'], retry_ids, business_id, customer_id, code, reason, containing, since, until,
            why_code) c
        -- Only those that somebody named are told why they are left alone.
        where retry_ids is not null or smsretry.not_looked_at(c, v_now) is null
        limit row_limit
    loop
        select * into v_row from public.sms_retry_queue q where q.id = v_row.id for update;
        v_skip := smsretry.not_looked_at(v_row, v_now);
        v_rows := v_rows || smsretry.change_of_row(v_row, coalesce(v_row.why, v_row.last_error), v_skip);
        continue when dry_run or v_skip is not null;
        -- Told as what was, so that nobody takes the old reason for a new one.
        v_row.why := coalesce(
            case when v_row.held_since is not null then 'It was held: ' else 'It waited: ' end
                || left(coalesce(v_row.why, v_row.last_error), 1000) || '. ', '')
            || 'Looked at again by ' || who || ': ' || because;
        if v_row.in_doubt_since is null then -- a doubt stays held: a person is still to decide about it
            v_row.held_since := null;
            v_row.why_code := 'operator';
        end if;
        perform smsretry.put_back(v_row, v_now, v_now);
        insert into smsretry.steps (retry_id, taken_at, step, who, because) values (v_row.id, v_now, 'looked again', who, because);
    end loop;
    if cardinality(v_rows) < row_limit then
        v_rows := v_rows || smsretry.left_out(retry_ids, v_rows, true, null, v_now);
    end if;
    return query select * from smsretry.change_summary(v_rows);
end
$$;

-- ======== schemas/desk/look_up_sms.sql ========
-- For a person who found no text: what an id is of, or which customers have a number, or last digits at a business. In one way.
--   kind: text, attempt (row_id: the text's), scheduled_send, send_log, customer, business or sender · of a send log: channel,
--   status, sid, at (when it was made), why (its error) · of a customer: texts (in the queue), own_texts (that the application
--   sent itself), older_texts (sent before records_since by whomever), each up to 1000, and of the last of these sid, at
--   records_since: since when smsretry's records are complete; what is older may have been pruned. Null: there are none.
create or replace function public.look_up_sms(
    id uuid default null, phone text default null, business_id uuid default null, last_digits text default null
)
returns table (
    kind text, row_id uuid, business uuid, business_name text, customer_id uuid, number text, channel text, status text, sid text,
    at timestamptz, why text, texts bigint, own_texts bigint, older_texts bigint, records_since timestamptz
)
language plpgsql stable security invoker set search_path = pg_catalog, pg_temp
-- A generic plan would read the whole table.
set plan_cache_mode = force_custom_plan as $$
#variable_conflict use_column
declare
    v_id constant uuid := look_up_sms.id;
    v_phone constant text := look_up_sms.phone;
    v_business constant uuid := look_up_sms.business_id;
    v_digits constant text := look_up_sms.last_digits;
    v_since constant timestamptz := (select min(r.started_at) from smsretry.runs r);
begin
    if num_nonnulls(v_id, v_phone, v_digits) <> 1 or v_digits is not null and (v_business is null or v_digits !~ '^[0-9]{3,15}$') then
        raise exception 'Say what to look up, in one way: id, phone, or business_id with last_digits (3 digits or more)'
            using errcode = 'SR422';
    end if;
    return query
    with found as (
        select 'text' as kind, q.id as row_id, q.business_id, q.customer_id from public.sms_retry_queue q where q.id = v_id
        union all
        select 'attempt', a.retry_id, a.business_id, null from public.sms_send_attempts a where a.id = v_id
        union all
        select 'scheduled_send', s.id, s.business_id, s.customer_id from public.scheduled_sends s where s.id = v_id
        union all
        select 'send_log', l.id, l.business_id, l.customer_id from public.send_logs l where l.id = v_id
        union all
        (select 'customer', c.id, c.business_id, c.id from public.customers c
         where c.id = v_id or c.phone = v_phone and v_phone is not null and (v_business is null or c.business_id = v_business)
            or v_digits is not null and c.business_id = v_business and c.phone like '%' || v_digits
         order by c.id limit 20)
        union all
        select 'business', b.id, b.id, null from public.businesses b where b.id = v_id
        union all
        select 'sender', o.id, null, null from smsretry.senders o where o.id = v_id
    )
    select f.kind, f.row_id, f.business_id, left(b.name, 200), f.customer_id, smsretry.masked(left(c.phone, 40)),
           left(l.channel::text, 40), left(smsretry.numberless(l.status::text), 40),
           left(smsretry.numberless(coalesce(smsretry.found_sid(l.provider_message_id), o.sid)), 40), smsretry.on_calendar(coalesce(l.created_at, o.at)),
           left(smsretry.numberless(left(l.error_message, 1000)), smsretry.longest_reason()), n.texts, o.own, o.older, v_since
    from found f
    left join public.businesses b on b.id = f.business_id
    left join public.customers c on c.id = f.customer_id
    left join public.send_logs l on f.kind = 'send_log' and l.id = f.row_id
    left join lateral (
        select count(*) as texts
        from (select from public.sms_retry_queue q where q.customer_id = f.customer_id limit 1000) t) n on f.kind = 'customer'
    left join lateral (
        select count(*) filter (where t.created_at >= v_since) as own,
               count(*) filter (where (t.created_at >= v_since) is not true) as older, max(t.created_at) as at, (array_agg(t.sid order by t.created_at desc))[1] as sid
        from (select s.created_at, smsretry.found_sid(s.provider_message_id) as sid from public.send_logs s
              where s.customer_id = f.customer_id and s.channel::text = 'sms' and smsretry.is_sent(s.provider_message_id, s.status::text)
                and not exists (select from public.sms_retry_queue q where q.send_log_id = s.id) limit 1000) t) o on f.kind = 'customer';
end
$$;

-- ======== schemas/desk/not_looked_at.sql ========
-- Why look_again_sms leaves a row alone; null: it waits for something that a person can fix, and may be looked at now. What
-- waits for an hour, a rate, a carrier's answer or evidence waits for its time. The caller holds the row locked.
create or replace function smsretry.not_looked_at(retry public.sms_retry_queue, at timestamptz)
returns text language plpgsql stable set search_path = pg_catalog, pg_temp as $$
begin
    return case
        when retry.status = 'completed' then 'It is sent already'
        when retry.status in ('failed', 'cancelled') then 'It has ended, it is ' || retry.status || ': requeue it'
        when retry.status = 'processing' then 'A worker has it at this moment'
        when retry.scheduled_for <= not_looked_at.at then 'It is due already: the next run takes it'
        when retry.held_since is not null then null
        when retry.in_doubt_since is not null then 'It is in doubt: evidence is looked for at its own times'
        -- Each look asks anew what somebody fixes. A sender's day ends by itself, and a higher cap lets its texts go at once.
        when retry.why_code in (
            'sender_paused', 'no_credentials', 'account_refused', 'sending_stopped', 'business_trouble', 'unreachable',
            'customer_locked', 'database_trouble', 'data_changed') then null
        else 'It waits for its time, and not for somebody: a look now would change nothing'
    end;
end
$$;

-- ======== schemas/desk/prune_sms_history.sql ========
-- Delete one batch of what ended more than keep_days ago: texts with their attempts and steps, and runs. Call it until it
-- deletes nothing. Suppressions, send logs, scheduled sends and texts in doubt stay. SIDs of incoming STOPs stay for 90 days
-- at least and those of STARTs for good, because a repeated webhook is recognized by them. stale_opt_ins stay as needed.
-- With dry_run it deletes nothing and counts all that would go. security definer: nobody else may delete history.
create or replace function public.prune_sms_history(
    keep_days integer default 90, batch integer default 1000, dry_run boolean default false
)
returns table (texts integer, attempts integer, runs integer)
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    v_before timestamptz;
    v_ids uuid[];
begin
    if (prune_sms_history.keep_days between 7 and 36500 and prune_sms_history.batch between 1 and 10000) is not true then
        raise exception 'keep_days is 7 or more, batch 1 to 10000' using errcode = 'SR422',
            hint = 'The last days are evidence: texts in doubt are settled by them, and daily caps count them.';
    end if;
    v_before := smsretry.clock() - make_interval(days => prune_sms_history.keep_days);
    if prune_sms_history.dry_run then
        select count(*) into texts from smsretry.prunable_texts t where t.updated_at < v_before;
        select count(*) into attempts
        from smsretry.prunable_texts t join public.sms_send_attempts a on a.retry_id = t.id where t.updated_at < v_before;
        select count(*) into runs from smsretry.runs r where r.started_at < v_before;
        return next;
        return;
    end if;
    v_ids := array(
        select t.id from smsretry.prunable_texts t
        where t.updated_at < v_before
        order by t.updated_at limit prune_sms_history.batch
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
    -- A past date that is later than no opt-out can lift nothing any more.
    delete from smsretry.stale_opt_ins o where o.ctid = any (array(
        select s.ctid from smsretry.stale_opt_ins s
        where s.at < v_before and coalesce(smsretry.suppressed_since(s.number_key), 'infinity') >= s.at
        limit 10 * prune_sms_history.batch));
    delete from smsretry.customer_changes x where x.ctid = any (array(
        select o.ctid from smsretry.customer_changes o
        where o.at < v_before and not exists ( -- a text that it happened to
            select 1 from public.sms_retry_queue q where q.customer_id = o.customer_id and q.created_at <= o.at)
        limit 10 * prune_sms_history.batch));
    delete from smsretry.held_sends h -- of scheduled sends that somebody deleted, or ended past our trigger
    where not exists (select 1 from public.scheduled_sends s where s.id = h.scheduled_id and s.status = 'scheduled');
    return next;
end
$$;

-- ======== schemas/desk/requeue_failed_sms.sql ========
-- For a person: queue failed texts again, due at once, with every check made anew. Message class, attempts and errors are
-- kept; each gets more_attempts further ones, and its life starts anew. Its send log says that it waits; if that is refused,
-- the text is left alone. Nothing changes without dry_run => false. states: failed, cancelled. row_limit: the newest ones.
--   matched: rows that fit, and those named by id · changed: requeued, or would be · skipped: left alone, by reason · warned: requeued all the same
create or replace function public.requeue_failed_sms(
    retry_ids uuid[] default null, business_id uuid default null, customer_id uuid default null, code integer default null,
    reason text default null, containing text default null, since timestamptz default null, until timestamptz default null,
    states text[] default '{failed}', dry_run boolean default true, who text default null, because text default null,
    more_attempts integer default 3, row_limit integer default 1000, why_code text default null
)
returns table (matched integer, changed integer, skipped jsonb, warned jsonb, sample jsonb)
language plpgsql security invoker set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_variable
declare
    v_now constant timestamptz := smsretry.clock();
    v_row public.sms_retry_queue;
    v_log public.send_logs;
    v_skip text;
    v_rows jsonb[] := '{}';
begin
    if (states <@ array['failed', 'cancelled'] and dry_run is not null
        and more_attempts between 1 and 100 and row_limit between 1 and 10000) is not true then
        raise exception 'states must be failed or cancelled, more_attempts 1 to 100, row_limit 1 to 10000' using errcode = 'SR422';
    end if;
    if not dry_run then
        perform smsretry.check_who_and_why(who, because);
    end if;
    for v_row in
        select * from smsretry.chosen(
            states, retry_ids, business_id, customer_id, code, reason, containing, since, until, why_code)
        limit row_limit
    loop
        -- The send log first, as in queue_sms_retry, so that no second live row can appear.
        select * into v_log from public.send_logs l where l.id = v_row.send_log_id for update;
        select * into v_row from public.sms_retry_queue q where q.id = v_row.id for update;
        v_skip := smsretry.not_requeued(v_row, v_log, states);
        if v_skip is null and not dry_run then
            -- The attempt keeps the SID of the undelivered message.
            v_skip := 'Its send log cannot be told that it waits: ' || smsretry.tell_waiting(v_log.id, null, v_now);
        end if;
        v_rows := v_rows || smsretry.change_of_row(v_row, v_row.last_error, v_skip, smsretry.warned_of_requeue(v_row));
        continue when dry_run or v_skip is not null;
        v_row.max_attempts := least(greatest(v_row.max_attempts, v_row.attempt_count + more_attempts), 1000);
        v_row.expires_at := null;
        v_row.rate_limit_count := 0;
        v_row.recover_count := 0;
        v_row.account_refusal_count := 0;
        v_row.reconcile_count := 0;
        v_row.reason := null;
        v_row.why_code := 'operator';
        v_row.why := 'Requeued by ' || who || ': ' || because;
        perform smsretry.put_back(v_row, v_now, v_now);
        insert into smsretry.steps (retry_id, taken_at, step, who, because) values (v_row.id, v_now, 'requeued', who, because);
    end loop;
    if cardinality(v_rows) < row_limit then
        v_rows := v_rows || smsretry.left_out(retry_ids, v_rows, false, states, v_now);
    end if;
    return query select * from smsretry.change_summary(v_rows);
end
$$;

-- ======== schemas/desk/without_number.sql ========
-- A line of preview_sms_retries for who may see no whole number and no body: with others like them, and without what was sent.
-- A number may be in any column that somebody wrote: an import that is off by one writes it into the time zone.
create or replace function smsretry.without_number(line jsonb)
returns jsonb language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
    v_sender constant jsonb := without_number.line -> 'sender';
begin
    return (select jsonb_object_agg(e.key, case when jsonb_typeof(e.value) = 'string'
                                                then to_jsonb(smsretry.numberless(e.value #>> '{}')) else e.value end)
            from jsonb_each(without_number.line) e)
        || '{"decided_by": null, "sent_to": null, "sent_body": null, "sent_by": null, "other_bodies": [], "last_error": null}'
        || jsonb_build_object(
            'phone', smsretry.like_number((without_number.line ->> 'business_id')::uuid, without_number.line ->> 'phone'),
            'body', smsretry.like_body(without_number.line ->> 'body'),
            'sender', case when jsonb_typeof(v_sender) = 'object'
                           then v_sender || jsonb_build_object('sent_by', smsretry.shown_sender(v_sender ->> 'sent_by')) else 'null' end);
end
$$;

-- ======== schemas/checks/access_of_request.sql ========
-- Whether a request runs with the settings that it needs, by whichever role or database they were set, and in roles that may
-- do no more than they must. A line says what is wrong; one is ok if nothing is.
create or replace function smsretry.access_of_request()
returns table (subject text, ok boolean, advice text)
language sql stable security invoker set search_path = pg_catalog, pg_temp as $$
    with settings (name, is_wrong, harm) as (
        values ('session_replication_role', current_setting('session_replication_role') <> 'origin', 'triggers and foreign keys do nothing'),
               ('synchronous_commit', current_setting('synchronous_commit') = 'off', 'a crash may forget that a text went out, which then goes out twice'),
               ('row_security', current_setting('row_security') = 'off', 'whoever is signed in gets an error and not the rows'),
               ('enable_indexscan', current_setting('enable_indexscan') = 'off', 'each claim reads the whole queue'),
               ('autovacuum', current_setting('autovacuum') = 'off', 'each claim reads what is long gone, and takes longer every day'),
               ('track_counts', current_setting('track_counts') = 'off', 'each claim reads what is long gone, and takes longer every day')
        union all
        -- In milliseconds; 0 is no limit.
        select t.name, (select s.setting::bigint from pg_settings s where s.name = t.name) between 1 and t.least - 1, t.harm
        from (values ('lock_timeout', 1000, 'a call gives up as soon as somebody else holds a row'),
                     ('statement_timeout', 5000, 'a larger claim is broken off'),
                     ('idle_in_transaction_session_timeout', 1000, 'calls lose their connection')) as t (name, least, harm)
    ),
    wrong as (select s.name, s.harm from settings s where s.is_wrong)
    select 'settings of a request', false,
           w.name || ' is ' || current_setting(w.name) || ', so ' || w.harm || '. Run: alter role ' || session_user || ' reset ' || w.name || ', or the same for service_role or the database, '
               || 'wherever it was set'
    from wrong w
    union all
    select 'settings of a request', true, null where not exists (select from wrong)
    union all
    select 'role ' || o.rolname, false,
           case when o.rolsuper then 'may do everything, and nothing that is forbidden holds for it. Run: alter role ' || o.rolname || ' nosuperuser'
                else 'may log in by itself, without a key. Run: alter role ' || o.rolname || ' nologin' end
    from pg_roles o
    where o.rolname in ('service_role', 'authenticator') and o.rolsuper
       or o.rolname in ('anon', 'authenticated', 'service_role') and o.rolcanlogin and not o.rolsuper
    union all
    select 'login ' || o.rolname, false,
           case when o.rolconnlimit between 0 and 9 then 'may have ' || o.rolconnlimit || ' connections at once, and calls wait for one. Run: alter role '
                    || o.rolname || ' connection limit -1'
                else 'has a password that expires on ' || to_char(o.rolvaliduntil at time zone 'UTC', 'YYYY-MM-DD') || ', and then nothing is sent. Run: '
                    || 'alter role ' || o.rolname || ' valid until ''infinity''' end
    from pg_roles o
    where o.rolname = session_user and (o.rolconnlimit between 0 and 9 or o.rolvaliduntil < now() + interval '14 days')
$$;

-- ======== schemas/checks/catalog_of_functions.sql ========
-- Our functions as the catalog has them, however the server is set to print: all in the schema smsretry, and those in public that have one of our names, whoever
-- made them. A body is told by its md5. kind: language, prokind, volatility and what the planner is told. callers: who may call it of the three roles of a request.
create or replace function smsretry.catalog_of_functions(names text[])
returns table (kind text, part_of text, name text, facts jsonb)
language sql stable security invoker set search_path = pg_catalog, pg_temp
set timezone = 'UTC' set datestyle = 'ISO' set intervalstyle = 'postgres' set quote_all_identifiers = off as $$
    select 'function', n.nspname::text, p.proname::text, jsonb_build_object(
        'signature', p.oid::regprocedure::text, 'parameters', pg_get_function_arguments(p.oid),
        'returns', coalesce(pg_get_function_result(p.oid), ''),
        'security', case when p.prosecdef then 'definer' else 'invoker' end,
        'settings', coalesce(array_to_string(p.proconfig, '; '), ''),
        'kind', concat_ws(' ', l.lanname, p.prokind, p.provolatile, 'parallel', p.proparallel, 'cost', p.procost, 'rows', p.prorows)
            || case when p.proisstrict then ' strict' else '' end || case when p.proleakproof then ' leakproof' else '' end,
        'body', md5(p.prosrc),
        'callers', coalesce((select string_agg(r.rolname, ', ' order by r.rolname) from pg_roles r
                             where r.rolname in ('anon', 'authenticated', 'service_role')
                               and has_function_privilege(r.oid, p.oid, 'execute')), ''))
    from pg_proc p
    join pg_namespace n on n.oid = p.pronamespace
    join pg_language l on l.oid = p.prolang
    where n.nspname = 'smsretry' or n.nspname = 'public' and p.proname = any (catalog_of_functions.names)
$$;

-- ======== schemas/checks/catalog_of_parts.sql ========
-- Indexes, triggers, policies, rules and tables that inherit as the catalog has them. Of an index on a table of the application's, which may be
-- its own, only what it begins with counts.
create or replace function smsretry.catalog_of_parts()
returns table (kind text, part_of text, name text, facts jsonb)
language sql stable security invoker set search_path = pg_catalog, pg_temp
set timezone = 'UTC' set datestyle = 'ISO' set intervalstyle = 'postgres' set quote_all_identifiers = off as $$
    select 'index', r.named, c.relname::text, jsonb_build_object(
        'definition', case when r.ours then pg_get_indexdef(i.indexrelid) else pg_get_indexdef(i.indexrelid, 1, true) end,
        'valid', i.indisvalid and i.indisready and i.indislive)
    from smsretry.our_relations() r
    join pg_index i on i.indrelid = r.id
    join pg_class c on c.oid = i.indexrelid
    -- A constraint's own is told as the constraint, unless it cannot be used.
    where not (i.indisvalid and i.indisready and i.indislive)
       or not exists (select 1 from pg_constraint k where k.conindid = i.indexrelid and k.contype in ('p', 'u', 'x'))
    union all
    select 'trigger', r.named, t.tgname::text, jsonb_build_object(
        'definition', pg_get_triggerdef(t.oid),
        'fires', case t.tgenabled when 'D' then 'never' when 'R' then 'for replicas alone' else 'yes' end)
    from smsretry.our_relations() r
    join pg_trigger t on t.tgrelid = r.id and not t.tgisinternal
    union all
    select 'policy', r.named, y.polname::text, jsonb_build_object(
        'for', y.polcmd, 'permissive', y.polpermissive,
        'to', coalesce((select string_agg(o.rolname, ', ' order by o.rolname) from pg_roles o where o.oid = any (y.polroles)), 'public'),
        'using', regexp_replace(coalesce(pg_get_expr(y.polqual, y.polrelid), ''), '\s+', ' ', 'g'),
        'with check', regexp_replace(coalesce(pg_get_expr(y.polwithcheck, y.polrelid), ''), '\s+', ' ', 'g'))
    from smsretry.our_relations() r
    join pg_policy y on y.polrelid = r.id
    where r.ours
    union all
    select 'rule', r.named, w.rulename::text, '{}'
    from smsretry.our_relations() r
    join pg_rewrite w on w.ev_class = r.id and w.rulename <> '_RETURN'
    where r.ours
    union all
    select 'child', r.named, h.inhrelid::regclass::text, '{}'
    from smsretry.our_relations() r
    join pg_inherits h on h.inhparent = r.id
    where r.ours and r.relkind = 'r'
$$;

-- ======== schemas/checks/catalog_of_rights.sql ========
-- What the three roles of a request may do with schema, tables and views, directly or because everybody may. Then what
-- belongs to somebody else than most of ours: an owner may do everything, and a function runs with its owner's rights if it
-- says so. And which publications carry a table of ours away by name.
create or replace function smsretry.catalog_of_rights()
returns table (kind text, part_of text, name text, facts jsonb)
language sql stable security invoker set search_path = pg_catalog, pg_temp set quote_all_identifiers = off as $$
    with roles (id, named) as (
        select o.oid, o.rolname::text from pg_roles o where o.rolname in ('anon', 'authenticated', 'service_role')
    ),
    may (part_of, role, privilege) as (
        select r.named, o.named, p.privilege
        from smsretry.our_relations() r cross join roles o
        cross join unnest(array['select', 'insert', 'update', 'delete', 'truncate', 'references', 'trigger']) as p (privilege)
        where has_table_privilege(o.id, r.id, p.privilege)
        union all
        select r.named, o.named, p.privilege || ' of ' || a.attname
        from smsretry.our_relations() r cross join roles o
        cross join unnest(array['select', 'insert', 'update', 'references']) as p (privilege)
        join pg_attribute a on a.attrelid = r.id and a.attnum > 0 and not a.attisdropped
        where r.ours and has_column_privilege(o.id, r.id, a.attnum, p.privilege) and not has_table_privilege(o.id, r.id, p.privilege)
        union all
        select 'smsretry', o.named, p.privilege
        from roles o cross join unnest(array['usage', 'create']) as p (privilege)
        where has_schema_privilege(o.id, 'smsretry', p.privilege)
    ),
    owned (what, named, owner) as (
        select case when r.relkind in ('v', 'm') then 'view' else 'table' end, r.named, c.relowner
        from smsretry.our_relations() r join pg_class c on c.oid = r.id where r.ours
        union all
        select 'function', p.oid::regprocedure::text, p.proowner
        from pg_proc p where p.pronamespace = to_regnamespace('smsretry')
           or p.pronamespace = 'public'::regnamespace and 'search_path=pg_catalog, pg_temp' = any (p.proconfig)
        union all
        select 'schema', n.nspname, n.nspowner from pg_namespace n where n.nspname = 'smsretry'
    ),
    owners (usual) as (select mode() within group (order by o.owner) from owned o)
    select 'grant', m.part_of, m.role, jsonb_build_object('may', to_jsonb(array_agg(m.privilege order by m.privilege)))
    from may m group by m.part_of, m.role
    union all
    select 'owner', o.what, o.named, jsonb_build_object('is', o.owner::regrole::text, 'must be', w.usual::regrole::text)
    from owned o cross join owners w join pg_roles g on g.oid = o.owner
    where o.owner <> w.usual and not g.rolsuper
    union all
    select 'publication', r.named, b.pubname::text, '{}'
    from smsretry.our_relations() r
    join pg_publication_rel e on e.prrelid = r.id
    join pg_publication b on b.oid = e.prpubid
    where r.ours and r.named <> 'public.sms_retry_queue'
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
               -- Up to version 15 PostgreSQL names the table of each column, also where there is but one.
               'definition', case when r.relkind in ('v', 'm')
                   then md5(regexp_replace(regexp_replace(pg_get_viewdef(r.id), '\m[a-z_]+\.(?=[a-z_])', '', 'g'), '[\s()]+', '', 'g'))
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

-- ======== schemas/checks/check_access.sql ========
-- Who may read and change the rows of the application's tables, whether the roles of a request are what they must be, and
-- whether the key of the hashed numbers and the places of the turns are there. Our own tables: catalog_of_tables, catalog_of_rights.
create or replace function smsretry.check_access()
returns table (subject text, ok boolean, advice text)
language sql stable security invoker set search_path = pg_catalog, pg_temp as $$
    with tables as (
        select r.oid, r.relname, r.relrowsecurity
        from unnest(array['businesses', 'customers', 'send_logs', 'scheduled_sends']) with ordinality as t (name, place)
        join pg_catalog.pg_class r on r.relname = t.name and r.relnamespace = 'public'::regnamespace
        order by t.place
    )
    select 'row level security of ' || r.relname, r.relrowsecurity,
           'is off: anyone with the anon key may read it. Run: alter table public.' || r.relname || ' enable row level security'
    from tables r
    union all
    select 'service_role', not row_security_active(r.oid),
           'is bound by row level security, so it sees no text. Run: alter role service_role bypassrls'
    from pg_catalog.pg_class r
    where r.oid = to_regclass('public.sms_retry_queue')
    union all
    select 'role ' || o.rolname, not (o.rolsuper or o.rolbypassrls or m.roles is not null),
           case when o.rolsuper then 'may do everything. Run: alter role ' || o.rolname || ' nosuperuser'
                when o.rolbypassrls then 'is not bound by row level security, so it sees everybody''s rows. Run: alter role '
                    || o.rolname || ' nobypassrls'
                else 'may do all that ' || m.roles || ' may. Run: revoke ' || m.roles || ' from ' || o.rolname end
    from pg_roles o
    cross join lateral (
        select string_agg(s.oid::regrole::text, ', ' order by s.rolname) as roles from pg_roles s
        where (s.rolsuper or s.rolbypassrls or s.rolname = 'service_role') and s.oid <> o.oid and pg_has_role(o.oid, s.oid, 'member')) m
    where o.rolname in ('anon', 'authenticated')
    union all
    select * from smsretry.access_of_request()
    union all
    select 'key of the hashed numbers', exists (select 1 from smsretry.secret),
           'is gone (smsretry.secret is empty), so nobody who opted out can be recognized and nothing is sent: restore '
               || 'the row from a backup, or run `smsretry migrate --again`, which makes another one and forgets who opted out'
    union all
    -- Each opt-out is kept under the key of its day. With another key none of them is found again.
    select 'key of the hashed numbers', false,
           'is not the one with which opt-outs were recorded, so nobody who opted out is recognized: restore the row of '
               || 'smsretry.secret from a backup, and let nothing run until then'
    from (select count(*) as people, count(*) filter (where exists (
              select from smsretry.suppressions p where p.number_key = smsretry.number_key(c.business_id, c.phone))) as known
          from (select c.business_id, c.phone from public.customers c
                where c.sms_consent_status::text = 'opted_out' and c.phone is not null and exists (select from smsretry.secret)
                limit 20) c) n
    where n.people >= 5 and n.known = 0 and exists (select from smsretry.suppressions)
    union all
    select 'places of the turns', count(*) > 0,
           'are gone, so a business with many texts may keep others waiting: run `smsretry migrate --again`'
    from smsretry.turns
$$;

-- ======== schemas/checks/check_leaks.sql ========
-- What shows rows to people whom they do not concern, or lets these change them: policies that hold for every row, views with
-- their owner's rights, publications. Warnings, because somebody may have meant them.
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

-- ======== schemas/checks/check_reminders.sql ========
-- Warnings about what somebody may have meant, or may have stopped and forgotten. Each is ok, with advice.
create or replace function smsretry.check_reminders()
returns table (subject text, ok boolean, advice text)
language sql stable security invoker set search_path = pg_catalog, pg_temp as $$
    with tables as (
        select r.oid, r.relname, r.relrowsecurity from pg_catalog.pg_class r
        where r.relnamespace = 'public'::regnamespace and r.relname = 'scheduled_sends'
    )
    select * from smsretry.check_leaks()
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
    select 'sending', true, 'had stopped: ' || c.why from smsretry.circuits() c where not c.own
    union all
    (select 'texts of business ' || s.business_id, true,
            'come last in each claim, one at a time, since ' || to_char(s.at at time zone 'UTC', 'YYYY-MM-DD HH24:MI') || ' UTC. ' || s.why
     from smsretry.set_apart s order by s.at limit 20)
    union all
    select 'texts that come in', true,
           'named no sender that is known, ' || count(*) || ' times in a week. Such a STOP counts at every business, and such a START at '
               || 'none: let the webhook pass To, MessagingServiceSid and AccountSid on (record_inbound_sms)'
    from smsretry.inbound_texts t
    where t.senders is null and t.heard_at > smsretry.clock() - interval '7 days'
      and exists (select 1 from smsretry.senders s where s.created_at < t.heard_at)
    having count(*) > 0
    union all
    select 'texts to ' || s.state, true, 'are stopped since ' || to_char(s.stopped_at at time zone 'UTC', 'YYYY-MM-DD HH24:MI')
           || ' UTC (' || s.why || '); `smsretry stop ' || s.state || ' --lift` lets them go'
    from smsretry.stopped_states s
$$;

-- ======== schemas/checks/check_sms_retry_setup.sql ========
-- For `smsretry doctor` up to version 1.0.0, which compares less than this database can tell: examine_sms_retries.
-- Reads only. wanted: what the caller's version of the package makes; no longer looked at.
create or replace function public.check_sms_retry_setup(wanted jsonb)
returns table (subject text, ok boolean, advice text)
language sql stable security invoker set search_path = pg_catalog, pg_temp as $$
    select 'version of the package', false, 'functions, tables and grants were not checked: the database is a newer '
               || 'version''s. Upgrade smsretry here, too'
    union all
    select a.subject, a.ok, case when not a.ok then a.advice end from smsretry.check_access() a
    union all
    select r.subject, r.ok, r.advice from smsretry.check_reminders() r
$$;

-- ======== schemas/checks/examine_sms_retries.sql ========
-- One part of what `smsretry doctor` examines, each as one value, which no max-rows of the project's cuts off. A part that
-- fails hides no other. names: our functions in public, for the part catalog.
create or replace function public.examine_sms_retries(part text, names text[] default null)
returns jsonb language plpgsql volatile security invoker set search_path = pg_catalog, pg_temp as $$
declare
    v_found jsonb;
begin
    case part
    when 'catalog' then
        select jsonb_agg(c) into v_found from (
            select * from smsretry.catalog_of_functions(examine_sms_retries.names)
            union all
            select * from smsretry.catalog_of_tables()
            union all
            select * from smsretry.catalog_of_parts()
            union all
            select * from smsretry.catalog_of_rights()) c;
    when 'shapes' then
        select jsonb_agg(d) into v_found from public.describe_sms_tables() d;
    when 'access' then
        select jsonb_agg(a) into v_found
        from (select c.subject, c.ok, case when not c.ok then c.advice end as advice from smsretry.check_access() c) a;
    when 'reminders' then
        select jsonb_agg(r) into v_found from smsretry.check_reminders() r;
    when 'rehearsal' then
        select jsonb_agg(t) into v_found from public.try_sms_retry_queue() t;
    when 'status' then
        select jsonb_agg(s) into v_found from public.sms_status(with_words => true, with_senders => true) s;
    else
        raise exception 'There is no such part to examine' using errcode = 'SR422',
            hint = 'The parts: catalog, shapes, access, reminders, rehearsal, status.';
    end case;
    return coalesce(v_found, '[]');
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
                || case when v_failed.state = '42501' then '. A grant is missing: run `smsretry migrate --again`' else '' end;
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
                || 'at the rules and triggers of send_logs and scheduled_sends' end;
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
        'add_sms_sender', 'ask_sms_desk', 'begin_sms_attempt', 'cancel_sms_retries', 'change_sms_sender', 'check_sms_retries', 'check_sms_retry_setup', 'claim_doubtful_sms_retries', 'claim_due_sms_retries', 'claim_sms_deliveries', 'claim_sms_retry', 'claim_sms_texts', 'claim_suspect_sms_retry', 'count_sms_answer', 'defer_sms_retry', 'describe_sms_tables', 'doubt_sms_retries', 'end_sms_retry', 'examine_sms_retries', 'explain_sms', 'finish_sms_attempt', 'finish_sms_delivery', 'finish_sms_run', 'group_sms_calls', 'hold_sms_retry', 'lease_sms_sender', 'lease_sms_time', 'lease_sms_times', 'look_again_sms', 'look_up_sms', 'next_sms_due', 'pause_sms_sender', 'preview_sms_retries', 'prune_sms_history', 'queue_scheduled_sms', 'queue_sms_retry', 'reconcile_sms_retry', 'record_inbound_sms', 'record_sms_consent', 'recover_stuck_sms_retries', 'remove_sms_sender', 'requeue_failed_sms', 'resolve_sms_doubt', 'resume_sms_sender', 'schedule_sms', 'set_sms_circuit', 'set_sms_state_stop', 'settle_sms_attempt', 'slow_sms_sender', 'sms_senders', 'sms_status', 'start_sms_run', 'try_sms_retry_queue'
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

-- ======== schemas/rights/reader.sql ========
-- The role of who only reads: it may ask the desk, and nothing else. A token with "role": "smsretry_reader" is its key.
do $$
begin
    if not exists (select from pg_catalog.pg_roles where rolname = 'smsretry_reader') then
        begin
            create role smsretry_reader nologin noinherit;
        exception
            when duplicate_object or unique_violation then null; -- another database of this server makes it at this moment
            when insufficient_privilege then
                raise warning 'There is no role smsretry_reader, because % may create none: reading needs the service key. A role that may can run: create role smsretry_reader nologin noinherit; grant smsretry_reader to authenticator; then run `smsretry migrate --again`', current_user;
                return;
        end;
    end if;
    if exists (select from pg_catalog.pg_roles r
               where r.rolname = 'smsretry_reader' and (r.rolsuper or r.rolbypassrls or r.rolcreaterole or r.rolcreatedb or r.rolreplication))
        or exists (select from pg_catalog.pg_auth_members m where m.member = 'smsretry_reader'::regrole) then
        raise warning 'The role smsretry_reader may do more than ask the desk, because somebody gave it attributes or other roles. Take them from it: alter role smsretry_reader nosuperuser nobypassrls nocreaterole nocreatedb noreplication; and revoke the roles that it is a member of';
    end if;
    if not exists (select from pg_catalog.pg_roles r
                   where r.rolname = 'authenticator' and pg_has_role(r.oid, 'smsretry_reader', 'member')) then
        begin
            grant smsretry_reader to authenticator;
        exception when insufficient_privilege or undefined_object then
            raise warning 'A token of the role smsretry_reader is refused until a role that may runs: grant smsretry_reader to authenticator';
        end;
    end if;
    grant usage on schema public to smsretry_reader;
    grant execute on function public.ask_sms_desk to smsretry_reader;
end
$$;

-- ======== PostgREST learns of the change at once ========
notify pgrst, 'reload schema';
