-- ======== by hand: public.sms_send_attempts ========
alter index if exists public.sms_send_attempts_begun set (autosummarize = on);

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
    delivery_excused boolean not null default false,
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
comment on column public.sms_send_attempts.delivery_excused is 'It did not arrive for what was its sender''s and not its own: a registration, or the day''s cap. It counts neither as an attempt nor as a failed delivery.';
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
-- A BRIN, because attempts are only ever added. It is kept up while they are: before a vacuum, which comes after a share of the
-- table, every look at the day would read all that was added since the last one.
create index if not exists sms_send_attempts_begun on public.sms_send_attempts using brin (begun_at)
    with (pages_per_range = 16, autosummarize = on);
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
      -- is true: by its text alone; with old statistics an index of all claims is walked
      and (q.status = 'processing' and q.claimed_by_application and q.attempt_count < supersede.attempt_count) is true
$$;

-- ======== schemas/worker/cap_reached_at.sql ========
-- When a number reached its cap: the time of the cap-th text from the end since a moment; null: there is room. Counted is
-- what may have reached the phone from this business: sends accepted, in doubt or under way, and the application's own.
create or replace function smsretry.cap_reached_at(business_id uuid, phone text, cap integer, since timestamptz)
returns timestamptz language sql set search_path = pg_catalog, pg_temp as $$
    with person as materialized (
        select c.id from public.customers c
        -- is true: smsretry.judge_opt_outs
        where c.phone = cap_reached_at.phone and (c.business_id = cap_reached_at.business_id) is true
    ),
    reached (at) as (
        -- By number, because a customer who is deleted and imported again is the same person.
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

-- ======== schemas/worker/claim_sms_retry.sql ========
-- Claim one pending row by its id, due or not, for the caller who has just queued it. No row: it is not pending, or in
-- doubt. Raises if it cannot be claimed.
create or replace function public.claim_sms_retry(retry_id uuid)
returns setof smsretry.claimed_retry
language plpgsql security invoker set search_path = pg_catalog, pg_temp as $$
begin
    perform 1 from public.sms_retry_queue q
    where q.id = claim_sms_retry.retry_id
      -- is true: by its id alone; with old statistics an index of all that waits is walked
      and (q.status = 'pending' and q.in_doubt_since is null) is true
    for update;
    if found then
        perform smsretry.take_row(claim_sms_retry.retry_id, smsretry.clock(), false);
        return query select r.* from smsretry.claimed_retry r where r.id = claim_sms_retry.retry_id;
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
        -- No join: with old statistics it walks all live rows.
        (select w.id from public.sms_retry_queue w
         where w.send_log_id = (select o.send_log_id from public.sms_retry_queue o where o.id = v_attempt.retry_id)
           and w.status in ('pending', 'processing') and w.attempt_id = v_attempt.id),
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
                 and (q.status = 'pending' and q.in_doubt_since is null) is true) end,
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
      -- An array, so that an index finds them without statistics.
      and q.customer_id = any (array(select c.id from public.customers c
                                     where (c.phone = keep_consent_step.phone or c.id = keep_consent_step.customer_id)
                                       and (keep_consent_step.business_id is null or c.business_id = keep_consent_step.business_id) is true))
    -- A worker's lock keeps nobody's word from being recorded.
    order by q.updated_at desc limit 100 for key share skip locked
$$;

-- ======== schemas/consent/mark_customer.sql ========
-- Record what the provider's refusal says of the number: opted_out ends the consent of everyone at the business who has it,
-- and at those that share the sender of the attempt (smsretry.share_opt_out); phone_status tells the application. It never
-- undoes the outcome that it came with.
create or replace function smsretry.mark_customer(
    retry public.sms_retry_queue, phone text, opted_out boolean, phone_status text, code integer, at timestamptz,
    attempt_id uuid
)
returns void language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    v_source constant text := coalesce('twilio_' || mark_customer.code, 'provider_refusal');
begin
    if mark_customer.opted_out then
        perform smsretry.set_consent(
            retry.business_id, retry.customer_id, mark_customer.phone, 'opted_out', v_source, mark_customer.at);
        perform smsretry.share_opt_out(retry.business_id, mark_customer.phone, a.sent_by, v_source, mark_customer.at)
        from public.sms_send_attempts a where a.id = mark_customer.attempt_id;
    end if;
    if mark_customer.phone_status is not null then
        update public.customers c set phone_status = mark_customer.phone_status
        where c.phone = mark_customer.phone and (c.business_id = retry.business_id) is true; -- smsretry.judge_opt_outs
    end if;
exception
    when deadlock_detected or lock_not_available or serialization_failure then
        raise; -- passing: the caller repeats the call
    when others then
        -- The application's checks and triggers may refuse the mark. The provider will refuse the next text, too.
        raise warning 'The customer of row % could not be marked after the provider''s %: %',
            retry.id, mark_customer.code, sqlstate;
end
$$;

-- ======== schemas/consent/opt_out.sql ========
-- End consent for everyone who has this number, at one business or at all that have a customer with it. Businesses fail
-- separately: a lock or a rule at one keeps nobody else from opting out. All together wait for locks for one second. What
-- could not be written holds nevertheless (unwritten_consents), and the same call again writes it. If one business is named,
-- its rule's error is raised.
-- texted, senders (those that heard it): as in smsretry.businesses_of. left_only: only where this opt-out could not be
-- written before, whoever sends there now.
--   customers: marked now · cancelled: texts that waited · unmarked: customers who could not be marked
create or replace function smsretry.opt_out(
    phone text, source text, at timestamptz, business_id uuid default null, left_only boolean default false,
    texted boolean default false, senders text[] default null, out customers integer, out cancelled integer, out unmarked integer
)
language plpgsql set search_path = pg_catalog, pg_temp set lock_timeout = '1s' as $$
declare
    v_until constant timestamptz := clock_timestamp() + interval '1 second';
    v_business uuid;
    v_key bytea;
    v_ended record;
begin
    customers := 0;
    cancelled := 0;
    unmarked := 0;
    for v_business in
        select b.id from smsretry.businesses_of(
            opt_out.phone, opt_out.texted, case when not opt_out.left_only then opt_out.senders end) b (id)
        where opt_out.business_id is null or b.id = opt_out.business_id
        order by b.id
    loop
        v_key := (select smsretry.number_key(v_business, opt_out.phone) from smsretry.secret);
        continue when opt_out.left_only and not exists (
            select 1 from smsretry.unwritten_consents u
            where u.number_key = v_key and u.consent = 'opted_out' and u.since = opt_out.at);
        perform smsretry.keep_stop(v_key, opt_out.senders, opt_out.at);
        perform set_config(
            'lock_timeout', greatest(ceil(extract(epoch from v_until - clock_timestamp()) * 1000), 20) || 'ms', true);
        begin
            select * into v_ended
            from smsretry.set_consent(v_business, null, opt_out.phone, 'opted_out', opt_out.source, opt_out.at);
            customers := customers + v_ended.customers;
            cancelled := cancelled + v_ended.cancelled;
        exception when others then
            if v_key is null or (opt_out.business_id is not null and sqlstate not in ('55P03', '40P01')) then
                raise;
            end if;
            raise warning 'The customers of business % could not be marked as opted out yet: %', v_business, sqlstate;
            perform smsretry.keep_unwritten(v_key, v_business, 'opted_out', opt_out.at, opt_out.source);
            select unmarked + count(*) into unmarked from public.customers c
            where c.phone = opt_out.phone and (c.business_id = v_business) is true; -- smsretry.judge_opt_outs
        end;
    end loop;
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
            where q.customer_id = any (v_ids)
              -- is true: by the customers alone; with old statistics an index of all that waits is walked
              and (q.status = 'pending' and q.in_doubt_since is null) is true
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

-- ======== schemas/consent/take_back_stop.sql ========
-- Somebody texted START: at each business that has a customer with this number, restore the consent that a STOP or the
-- provider's refusal ended before `at`. Other opt-outs stay, and with them everything at that business.
-- stopped_consents says what consent was. Without an entry it becomes unknown, and somebody must ask again.
-- senders: those that heard it (smsretry.heard_by). Only businesses that send through one of them now take note; null: all.
-- by_yes: smsretry.start_takes_back. Separate businesses and left_only: as in smsretry.opt_out.
--   customers: with consent again · unmarked: customers who could not be written
create or replace function smsretry.take_back_stop(
    phone text, at timestamptz, left_only boolean default false, by_yes boolean default false,
    senders text[] default null, out customers integer, out unmarked integer
)
language plpgsql set search_path = pg_catalog, pg_temp set lock_timeout = '1s' as $$
declare
    v_until constant timestamptz := clock_timestamp() + interval '1 second';
    v_business uuid;
    v_key bytea;
begin
    customers := 0;
    unmarked := 0;
    for v_business in
        select b.id from smsretry.businesses_of(take_back_stop.phone, true) b (id)
        where take_back_stop.senders is null or smsretry.sends_through(b.id, take_back_stop.senders)
        order by b.id
    loop
        v_key := smsretry.number_key(v_business, take_back_stop.phone);
        continue when take_back_stop.left_only and not exists (
            select 1 from smsretry.unwritten_consents u
            where u.number_key = v_key and u.consent = 'opted_in' and u.since = take_back_stop.at);
        continue when smsretry.suppressed_since(v_key) is null and not exists (
            select 1 from public.customers c
            where c.phone = take_back_stop.phone and (c.business_id = v_business) is true and c.sms_consent_status::text = 'opted_out');
        perform set_config(
            'lock_timeout', greatest(ceil(extract(epoch from v_until - clock_timestamp()) * 1000), 20) || 'ms', true);
        begin
            customers := customers + smsretry.give_back_consent(
                v_business, take_back_stop.phone, v_key, take_back_stop.at, take_back_stop.by_yes, take_back_stop.senders);
        exception when others then
            raise warning 'The START of customers of business % could not be written yet: %', v_business, sqlstate;
            perform smsretry.keep_unwritten(v_key, v_business, 'opted_in', take_back_stop.at, 'inbound_start');
            select unmarked + count(*) into unmarked from public.customers c
            where c.phone = take_back_stop.phone and (c.business_id = v_business) is true and c.sms_consent_status::text = 'opted_out';
        end;
    end loop;
end
$$;

-- ======== schemas/delivery/record_delivery.sql ========
-- Record what the provider reports of a message; true if that is news. Reports may come late, twice and in any order. A
-- failure is due for a decision at once. A delivery ends the matter and takes back a failure or a cancellation.
create or replace function smsretry.record_delivery(attempt_id uuid, status text, code integer, at timestamptz)
returns boolean language plpgsql set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_variable
declare
    k_before_all constant interval := '3 days'; -- a failure is due first: its text may still arrive in time
    v_lost constant boolean := smsretry.is_lost(status);
    v_arrived constant boolean := smsretry.has_arrived(status);
    v_rank constant integer := smsretry.delivery_rank(status);
    v_known integer;
    v_attempt public.sms_send_attempts;
    v_row public.sms_retry_queue;
    v_newer public.sms_retry_queue;
begin
    select * into v_attempt from public.sms_send_attempts a where a.id = attempt_id for update;
    select * into v_row from public.sms_retry_queue q where q.id = v_attempt.retry_id;
    v_known := coalesce(smsretry.delivery_rank(v_attempt.delivery_status), 0);
    if v_lost and v_rank = v_known and v_attempt.delivery_code is null then -- the report that said why came second
        update public.sms_send_attempts a set delivery_code = code where a.id = v_attempt.id;
        return code is not null;
    end if;
    if (v_rank > v_known) is not true then
        return false;
    end if;
    update public.sms_send_attempts a
    set delivery_status = status, delivery_at = at, delivery_code = case when v_lost then code end,
        delivery_look_at = case when v_lost then at - k_before_all
                                when not v_arrived and status <> 'unknown' then a.delivery_look_at end
    where a.id = v_attempt.id;

    if v_lost and v_attempt.twilio_sid = (
            select smsretry.found_sid(l.provider_message_id) from public.send_logs l where l.id = v_row.send_log_id) then
        perform smsretry.tell_delivery(
            v_row.send_log_id, 'undelivered', v_attempt.twilio_sid, coalesce('Not delivered: code ' || code, 'Not delivered'), at);
    elsif v_arrived and not smsretry.has_arrived(v_attempt.delivery_status) then
        -- It was to be sent again, given up or cancelled. A send that is under way ends by itself.
        if v_row.status in ('failed', 'cancelled') or v_row.status = 'pending' and v_row.in_doubt_since is null then
            perform smsretry.complete_row(
                v_row, v_attempt.twilio_sid, at, -- what was told of it before stays told
                case v_row.status when 'failed' then 'It was delivered after all. Before that it had failed: '
                                  when 'cancelled' then 'It was delivered after all. Before that it had been cancelled: ' end
                    || coalesce(v_row.last_error, 'no reason was kept'));
        end if;
        for v_newer in -- the text was queued anew
            select q.* from public.sms_retry_queue q
            where q.send_log_id = v_row.send_log_id and q.business_id = v_row.business_id and q.id <> v_row.id
              -- is true: by its text alone; with old statistics an index of all that waits is walked
              and (q.status = 'pending' and q.in_doubt_since is null) is true
            for update
        loop
            perform smsretry.complete_row(v_newer, v_attempt.twilio_sid, at);
        end loop;
        perform smsretry.tell_delivery(v_row.send_log_id, 'delivered', v_attempt.twilio_sid, null, at);
    end if;
    return true;
end
$$;

-- ======== schemas/desk/chosen.sql ========
-- The rows that fit a filter, newest first. A null filters nothing. containing: last_error or why; since, until: updated_at.
create or replace function smsretry.chosen(
    statuses text[], retry_ids uuid[], business_id uuid, customer_id uuid, code integer, reason text, containing text,
    since timestamptz, until timestamptz, why_code text
)
returns setof public.sms_retry_queue language plpgsql stable set search_path = pg_catalog, pg_temp
-- A generic plan would read the whole table.
set plan_cache_mode = force_custom_plan as $$
begin
    if num_nonnulls(chosen.retry_ids, chosen.business_id, chosen.customer_id, chosen.code, chosen.reason,
                    nullif(btrim(chosen.containing), ''), chosen.since, chosen.until, chosen.why_code) = 0 then
        raise exception 'Say which texts: by retry_ids, business_id, customer_id, code, reason, why_code, containing, since or until'
            using errcode = 'SR422';
    end if;
    return query
    select q.* from public.sms_retry_queue q
    -- is not false: by the ids or the customer alone; with old statistics an index of all live rows is walked
    where case when num_nonnulls(chosen.retry_ids, chosen.customer_id) = 0 then q.status = any (chosen.statuses)
               else (q.status = any (chosen.statuses)) is not false end
      and (chosen.retry_ids is null or q.id = any (chosen.retry_ids))
      and (chosen.business_id is null or q.business_id = chosen.business_id)
      and (chosen.customer_id is null or q.customer_id = chosen.customer_id)
      and (chosen.code is null or q.error_code = chosen.code)
      and (chosen.reason is null or q.reason = chosen.reason)
      and (chosen.why_code is null or q.why_code = chosen.why_code)
      and (chosen.containing is null
           or strpos(lower(concat_ws(' ', q.last_error, q.why)), lower(chosen.containing)) > 0)
      and (chosen.since is null or q.updated_at >= chosen.since)
      and (chosen.until is null or q.updated_at < chosen.until)
    order by q.updated_at desc, q.id;
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
        (select 'customer', n.id, n.business_id, n.id
         from (select c.id, c.business_id from public.customers c
               where c.id = v_id or c.phone = v_phone and v_phone is not null and (v_business is null or c.business_id = v_business) is true
                  or v_digits is not null and c.business_id = v_business and c.phone like '%' || v_digits
               offset 0) n -- or all customers are walked in this order
         order by n.id limit 20)
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
    -- One text after the other: without statistics the planner would read all attempts for many.
    select coalesce(sum(n.attempts), 0) into attempts
    from unnest(v_ids) as i (id)
    cross join lateral (select count(*) as attempts from public.sms_send_attempts a where a.retry_id = i.id) n;
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

-- ======== schemas/desk/status_of_lost.sql ========
-- Undelivered messages: the lines delivery_business and undelivered of sms_status.
create or replace function smsretry.status_of_lost(at timestamptz)
returns table (part text, name text, business_id uuid, texts bigint, oldest timestamptz, next_at timestamptz, told text)
language plpgsql stable set search_path = pg_catalog, pg_temp
-- Without statistics the planner would read all attempts for the day's.
set enable_seqscan = off set jit = off as $$
begin
    return query
    with fates as materialized (
        select coalesce(a.business_id, (select q.business_id from public.sms_retry_queue q where q.id = a.retry_id)) as business_id,
               a.delivery_status in ('delivered', 'read') as arrived, a.delivery_code, count(*) as texts, min(a.delivery_at) as oldest
        from public.sms_send_attempts a
        where a.begun_at > status_of_lost.at - interval '1 day' and a.twilio_sid is not null
          -- has_arrived and is_lost, inline because it is cheaper
          and (a.delivery_status in ('delivered', 'read')
               or a.delivery_status in ('undelivered', 'failed', 'canceled') and not a.delivery_excused)
        group by 1, 2, 3
    ),
    lost as (
        select f.business_id, f.delivery_code, f.texts, f.oldest from fates f where not f.arrived
    ),
    losing as (
        select l.business_id, sum(l.texts)::bigint as undelivered from lost l group by l.business_id
    ),
    arrived as (
        select f.business_id, sum(f.texts)::bigint as delivered from fates f where f.arrived group by f.business_id
    ),
    worst as (
        select l.business_id, l.undelivered, coalesce(a.delivered, 0) as delivered,
               coalesce(a.delivered, 0)::float8 / (l.undelivered + coalesce(a.delivered, 0)) as share
        from losing l
        left join arrived a on a.business_id = l.business_id
        where l.undelivered + coalesce(a.delivered, 0) >= smsretry.fewest_texts()
        order by share, l.undelivered desc, l.business_id limit 10
    )
    (select 'delivery_business', f.fate, w.business_id, f.texts, null::timestamptz, null::timestamptz,
            (select left(b.name, 200) from public.businesses b where b.id = w.business_id)
     from worst w cross join lateral (values ('delivered', w.delivered), ('undelivered', w.undelivered)) as f (fate, texts)
     order by w.share, w.undelivered desc, w.business_id, f.fate)
    union all
    (select 'undelivered', coalesce(l.delivery_code::text, 'without a code'), l.business_id, l.texts, l.oldest,
            null::timestamptz, (select left(b.name, 200) from public.businesses b where b.id = l.business_id)
     from lost l
     order by l.texts desc limit 50);
end
$$;

-- ======== schemas/desk/status_of_sends.sql ========
-- Recent sends and their fate: the lines sent, delivery, delivery_lately, delivery_hour and delivery_time of sms_status.
create or replace function smsretry.status_of_sends(at timestamptz)
returns table (part text, name text, business_id uuid, texts bigint, oldest timestamptz, next_at timestamptz, told text)
language plpgsql stable set search_path = pg_catalog, pg_temp
-- Without statistics the planner would read all attempts for the day's.
set enable_seqscan = off set jit = off as $$
begin
    return query
    with reported as materialized (
        select a.delivery_status, a.begun_at > status_of_sends.at - interval '1 hour' as lately,
               date_trunc('hour', a.begun_at, 'UTC') as hour, count(*) as texts
        from public.sms_send_attempts a
        where a.begun_at > status_of_sends.at - interval '1 day' and a.twilio_sid is not null and not a.delivery_excused
        group by 1, 2, 3
    ),
    accepted as (
        select case when smsretry.has_arrived(r.delivery_status) then 'delivered'
                    when smsretry.is_lost(r.delivery_status) then 'undelivered'
                    when r.delivery_status = 'unknown' then 'unknown'
                    else 'open' end as fate,
               r.lately, r.hour, r.texts
        from reported r
    ),
    taken as (
        -- For a message that was read, the time of delivery is not kept. If the response did not settle an attempt, its
        -- finished_at is late.
        select count(*) as texts, percentile_cont(array[0.5, 0.95]) within group (order by greatest(
                   a.delivery_at - case a.settled_by when 'response' then a.finished_at else a.begun_at end, '0')) as after
        from public.sms_send_attempts a
        where a.begun_at > status_of_sends.at - interval '1 day' and a.twilio_sid is not null and a.delivery_status = 'delivered'
    )
    (select 'sent', coalesce(a.outcome, 'under_way'), null::uuid, count(*), min(a.begun_at), null::timestamptz, null::text
     from public.sms_send_attempts a where a.begun_at > status_of_sends.at - interval '1 hour' group by 2 order by 2)
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
    (select 'delivery_time', v.name, null::uuid, t.texts, null::timestamptz, null::timestamptz, round(extract(epoch from v.after), 1)::text
     from taken t cross join lateral (values ('median', t.after[1]), ('95th percentile', t.after[2])) as v (name, after)
     where t.texts > 0);
end
$$;

-- ======== schemas/desk/status_of_waiting.sql ========
-- What waits and what is under way: the lines scheduled, queue, waiting and held of sms_status.
create or replace function smsretry.status_of_waiting(at timestamptz)
returns table (part text, name text, business_id uuid, texts bigint, oldest timestamptz, next_at timestamptz, told text, why_code text)
language plpgsql stable set search_path = pg_catalog, pg_temp
-- So that an index has all of it, whatever the statistics are.
set enable_seqscan = off set enable_sort = off set enable_incremental_sort = off set jit = off as $$
begin
    return query
    with waiting as (
        -- From an index alone, the one that has this order: a million rows may wait.
        select q.reason, q.attempt_count > 0 as tried, q.held_since is not null as held, q.scheduled_for > status_of_waiting.at as later,
               count(*) as texts, min(q.scheduled_for) as oldest
        from (select n.reason, n.attempt_count, n.held_since, n.scheduled_for from public.sms_retry_queue n
              where n.status = 'pending' and n.in_doubt_since is null order by n.scheduled_for, n.id) q
        group by 1, 2, 3, 4
    ),
    live as materialized (
        -- As smsretry.text_state.
        select case when w.held then 'held' when w.later then 'waiting' else 'due' end as state,
               coalesce(w.reason, case when w.tried then 'twilio_error' else 'none' end) as category,
               w.texts, w.oldest, case when w.later then w.oldest end as next_at
        from waiting w
        union all
        select 'in_doubt', 'none', count(*), min(q.scheduled_for), min(q.scheduled_for) filter (where q.scheduled_for > status_of_waiting.at)
        from public.sms_retry_queue q where q.status = 'pending' and q.in_doubt_since is not null having count(*) > 0
        union all
        select case when q.in_doubt_since is not null then 'in_doubt' else 'under_way' end, 'none', count(*), min(q.scheduled_for),
               min(q.scheduled_for) filter (where q.scheduled_for > status_of_waiting.at)
        from public.sms_retry_queue q where q.status = 'processing' group by 1
    )
    (select 'scheduled', p.name, null::uuid, count(*), min(p.due), min(p.due) filter (where p.due > status_of_waiting.at),
            min(p.id::text) filter (where p.name = 'held'), null::text
     from (
         select s.id, case when s.held_since is not null or h.scheduled_id is not null then 'held'
                           when s.scheduled_for <= status_of_waiting.at then 'late' else 'waiting' end as name,
                -- The application may have written infinity.
                case when s.scheduled_for <@ smsretry.century() then s.scheduled_for end as due
         from public.scheduled_sends s
         left join smsretry.held_sends h on h.scheduled_id = s.id
         where s.status = 'scheduled') p
     group by p.name order by p.name)
    union all
    (select 'queue', l.state, null::uuid, sum(l.texts)::bigint, min(l.oldest), min(l.next_at), null::text, null::text
     from live l group by l.state order by l.state)
    union all
    (select 'waiting', l.category, null::uuid, sum(l.texts)::bigint, min(l.oldest), min(l.next_at), null::text, null::text
     from live l where l.state = 'waiting' group by l.category order by l.category)
    union all
    (select 'held', left(q.why, 200), q.business_id, count(*), min(q.held_since), min(q.scheduled_for), left(b.name, 200), q.why_code
     from public.sms_retry_queue q left join public.businesses b on b.id = q.business_id
     where q.held_since is not null and q.status in ('pending', 'processing')
     group by left(q.why, 200), q.why_code, q.business_id, left(b.name, 200) order by count(*) desc limit 50);
end
$$;

-- ======== PostgREST learns of the change at once ========
notify pgrst, 'reload schema';
