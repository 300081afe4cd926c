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

-- ======== drop smsretry.claimed_retry ========
drop view if exists smsretry.claimed_retry;

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
       smsretry.decided_by(c.phone, c.timezone, b.timezone, b.sms_hours) as decided_by,
       -- Messages of this text that did not arrive, newest first: Twilio is asked about them once more before another one
       -- leaves. A row that is sent again because of one has its error; the others are not looked up.
       case when q.last_error is null then '{}' else array(
           select m.twilio_sid from public.sms_send_attempts m
           -- An array, so that an index finds them whatever is known of the tables.
           where m.retry_id = any (array(select o.id from public.sms_retry_queue o where o.send_log_id = q.send_log_id))
             and smsretry.delivery_rank(m.delivery_status) = 6
           order by m.begun_at desc) end as lost_sids
from public.sms_retry_queue q
left join public.sms_send_attempts a on a.id = q.attempt_id
-- Another business's are none of this text's: consent is given to one business.
left join public.send_logs l on l.id = q.send_log_id and l.business_id = q.business_id
left join public.customers c on c.id = q.customer_id and c.business_id = q.business_id
left join public.businesses b on b.id = q.business_id;

grant select on smsretry.claimed_retry to service_role;

-- ======== drop smsretry.scheduled_claim ========
drop view if exists smsretry.scheduled_claim;

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
       smsretry.decided_by(c.phone, c.timezone, b.timezone, b.sms_hours) as decided_by, array[]::text[] as lost_sids
from public.scheduled_sends s
left join public.customers c on c.id = s.customer_id and c.business_id = s.business_id
left join public.businesses b on b.id = s.business_id
where s.status = 'scheduled';

grant select on smsretry.scheduled_claim to service_role;

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
        -- A failure comes before whatever else is due: its text may still reach somebody in time.
        delivery_look_at = case when v_rank < 5 then a.delivery_look_at when v_rank = 6 then record_delivery.at - interval '3 days' end
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
                life => (v ->> 'life')::interval, window_closes_at => (v ->> 'window_closes_at')::timestamptz));
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

-- ======== PostgREST learns of the change at once ========
notify pgrst, 'reload schema';
