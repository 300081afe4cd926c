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

-- ======== drop public.record_inbound_sms ========
do $$
declare
    version regprocedure;
begin
    for version in
        select p.oid::regprocedure from pg_catalog.pg_proc p
        where p.pronamespace = 'public'::regnamespace and p.proname = 'record_inbound_sms'
    loop
        -- Whom an owner lets call it: the latest schemas/rights/public_functions.sql grants it to them again.
        perform set_config('smsretry.granted_record_inbound_sms', array_agg(distinct g.grantee::regrole)::text, false)
        from pg_catalog.pg_proc p cross join pg_catalog.aclexplode(p.proacl) g
        where p.oid = version and g.grantee not in (0, p.proowner)
          and g.grantee::regrole::text not in ('anon', 'authenticated', 'service_role')
        having count(*) > 0;
        execute format('drop function %s', version);
    end loop;
end
$$;

-- ======== drop public.record_sms_consent ========
do $$
declare
    version regprocedure;
begin
    for version in
        select p.oid::regprocedure from pg_catalog.pg_proc p
        where p.pronamespace = 'public'::regnamespace and p.proname = 'record_sms_consent'
    loop
        -- Whom an owner lets call it: the latest schemas/rights/public_functions.sql grants it to them again.
        perform set_config('smsretry.granted_record_sms_consent', array_agg(distinct g.grantee::regrole)::text, false)
        from pg_catalog.pg_proc p cross join pg_catalog.aclexplode(p.proacl) g
        where p.oid = version and g.grantee not in (0, p.proowner)
          and g.grantee::regrole::text not in ('anon', 'authenticated', 'service_role')
        having count(*) > 0;
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
        -- Whom an owner lets call it: the latest schemas/rights/public_functions.sql grants it to them again.
        perform set_config('smsretry.granted_claim_due_sms_retries', array_agg(distinct g.grantee::regrole)::text, false)
        from pg_catalog.pg_proc p cross join pg_catalog.aclexplode(p.proacl) g
        where p.oid = version and g.grantee not in (0, p.proowner)
          and g.grantee::regrole::text not in ('anon', 'authenticated', 'service_role')
        having count(*) > 0;
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
        -- Whom an owner lets call it: the latest schemas/rights/public_functions.sql grants it to them again.
        perform set_config('smsretry.granted_claim_sms_retry', array_agg(distinct g.grantee::regrole)::text, false)
        from pg_catalog.pg_proc p cross join pg_catalog.aclexplode(p.proacl) g
        where p.oid = version and g.grantee not in (0, p.proowner)
          and g.grantee::regrole::text not in ('anon', 'authenticated', 'service_role')
        having count(*) > 0;
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
        -- Whom an owner lets call it: the latest schemas/rights/public_functions.sql grants it to them again.
        perform set_config('smsretry.granted_claim_suspect_sms_retry', array_agg(distinct g.grantee::regrole)::text, false)
        from pg_catalog.pg_proc p cross join pg_catalog.aclexplode(p.proacl) g
        where p.oid = version and g.grantee not in (0, p.proowner)
          and g.grantee::regrole::text not in ('anon', 'authenticated', 'service_role')
        having count(*) > 0;
        execute format('drop function %s', version);
    end loop;
end
$$;

-- ======== drop public.recover_stuck_sms_retries ========
do $$
declare
    version regprocedure;
begin
    for version in
        select p.oid::regprocedure from pg_catalog.pg_proc p
        where p.pronamespace = 'public'::regnamespace and p.proname = 'recover_stuck_sms_retries'
    loop
        -- Whom an owner lets call it: the latest schemas/rights/public_functions.sql grants it to them again.
        perform set_config('smsretry.granted_recover_stuck_sms_retries', array_agg(distinct g.grantee::regrole)::text, false)
        from pg_catalog.pg_proc p cross join pg_catalog.aclexplode(p.proacl) g
        where p.oid = version and g.grantee not in (0, p.proowner)
          and g.grantee::regrole::text not in ('anon', 'authenticated', 'service_role')
        having count(*) > 0;
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
        -- Whom an owner lets call it: the latest schemas/rights/public_functions.sql grants it to them again.
        perform set_config('smsretry.granted_claim_doubtful_sms_retries', array_agg(distinct g.grantee::regrole)::text, false)
        from pg_catalog.pg_proc p cross join pg_catalog.aclexplode(p.proacl) g
        where p.oid = version and g.grantee not in (0, p.proowner)
          and g.grantee::regrole::text not in ('anon', 'authenticated', 'service_role')
        having count(*) > 0;
        execute format('drop function %s', version);
    end loop;
end
$$;

-- ======== drop public.reconcile_sms_retry ========
do $$
declare
    version regprocedure;
begin
    for version in
        select p.oid::regprocedure from pg_catalog.pg_proc p
        where p.pronamespace = 'public'::regnamespace and p.proname = 'reconcile_sms_retry'
    loop
        -- Whom an owner lets call it: the latest schemas/rights/public_functions.sql grants it to them again.
        perform set_config('smsretry.granted_reconcile_sms_retry', array_agg(distinct g.grantee::regrole)::text, false)
        from pg_catalog.pg_proc p cross join pg_catalog.aclexplode(p.proacl) g
        where p.oid = version and g.grantee not in (0, p.proowner)
          and g.grantee::regrole::text not in ('anon', 'authenticated', 'service_role')
        having count(*) > 0;
        execute format('drop function %s', version);
    end loop;
end
$$;

-- ======== drop smsretry.doubt ========
do $$
declare
    version regprocedure;
begin
    for version in
        select p.oid::regprocedure from pg_catalog.pg_proc p
        where p.pronamespace = 'smsretry'::regnamespace and p.proname = 'doubt'
    loop
        execute format('drop function %s', version);
    end loop;
end
$$;

-- ======== drop public.doubt_sms_retries ========
do $$
declare
    version regprocedure;
begin
    for version in
        select p.oid::regprocedure from pg_catalog.pg_proc p
        where p.pronamespace = 'public'::regnamespace and p.proname = 'doubt_sms_retries'
    loop
        -- Whom an owner lets call it: the latest schemas/rights/public_functions.sql grants it to them again.
        perform set_config('smsretry.granted_doubt_sms_retries', array_agg(distinct g.grantee::regrole)::text, false)
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
        -- Whom an owner lets call it: the latest schemas/rights/public_functions.sql grants it to them again.
        perform set_config('smsretry.granted_explain_sms', array_agg(distinct g.grantee::regrole)::text, false)
        from pg_catalog.pg_proc p cross join pg_catalog.aclexplode(p.proacl) g
        where p.oid = version and g.grantee not in (0, p.proowner)
          and g.grantee::regrole::text not in ('anon', 'authenticated', 'service_role')
        having count(*) > 0;
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
        -- Whom an owner lets call it: the latest schemas/rights/public_functions.sql grants it to them again.
        perform set_config('smsretry.granted_preview_sms_retries', array_agg(distinct g.grantee::regrole)::text, false)
        from pg_catalog.pg_proc p cross join pg_catalog.aclexplode(p.proacl) g
        where p.oid = version and g.grantee not in (0, p.proowner)
          and g.grantee::regrole::text not in ('anon', 'authenticated', 'service_role')
        having count(*) > 0;
        execute format('drop function %s', version);
    end loop;
end
$$;

-- ======== schemas/18_held_sends.sql ========
-- Scheduled sends that are held and cannot be told so in their own row, because a trigger or a rule refuses every change of
-- it. They are looked at again from here, and stand in nobody's way meanwhile. A row that is changed after all is taken out
-- by the trigger smsretry_scheduled_send_changed, and one that is gone by prune_sms_history.
create table if not exists smsretry.held_sends (
    scheduled_id uuid primary key,
    held_since timestamptz not null,
    look_at timestamptz not null,
    expired boolean not null,
    why text not null,
    constraint held_sends_why check (length(why) <= 2000)
);
comment on column smsretry.held_sends.expired is 'It was held for too long. Once its row can be changed, it is cancelled.';

-- Default privileges may be wide.
revoke all on smsretry.held_sends from public, anon, authenticated;
grant select, insert, update, delete on smsretry.held_sends to service_role;

-- ======== schemas/18_stopped_consents.sql ========
-- What a customer's consent was before a STOP, or Twilio's refusal, ended it: what a START gives back. Kept by the trigger on
-- customers while that opt-out stands, whoever wrote it. Without a row it is not known that there ever was consent.
create table if not exists smsretry.stopped_consents (
    customer_id uuid primary key,
    number_key bytea not null,
    consent text
);
comment on column smsretry.stopped_consents.number_key is 'The number that was stopped, at the customer''s business: smsretry.number_key. Another number''s START gives nothing back.';

revoke all on smsretry.stopped_consents from public, anon, authenticated;
grant select, insert, update, delete on smsretry.stopped_consents to service_role;

-- ======== schemas/18_unwritten_consents.sql ========
-- What a number said to a business whose customers, or whose suppression, somebody else's transaction held locked. An opt-out
-- holds at once, as a suppression does; a START does not yet. The same call once more writes it where it belongs.
-- Nothing can make an insert wait: there is no unique key but the row's own, and no foreign key.
create table if not exists smsretry.unwritten_consents (
    id bigint generated always as identity primary key,
    number_key bytea not null,
    business_id uuid not null,
    consent text not null,
    since timestamptz not null,
    source text,
    constraint unwritten_consents_consent check (consent in ('opted_out', 'opted_in'))
);
create index if not exists unwritten_consents_number on smsretry.unwritten_consents (number_key);

revoke all on smsretry.unwritten_consents from public, anon, authenticated;
grant select, insert, update, delete on smsretry.unwritten_consents to service_role;

-- ======== schemas/19_start_lifts.sql ========
-- Whether an opt-out of this source is one that a START takes back: a STOP, or Twilio's refusal, by which a STOP is learned of
-- where no webhook hears it. What was said otherwise (by telephone, by letter, in the application, nobody knows where)
-- stands until a later opt-in.
create or replace function smsretry.start_lifts(source text)
returns boolean language sql immutable set search_path = pg_catalog, pg_temp as $$
    select coalesce(start_lifts.source, '') ~ '^(inbound_stop|twilio_[0-9]+)$'
$$;

revoke all on function smsretry.start_lifts from public, anon, authenticated;
grant execute on function smsretry.start_lifts to service_role;

-- ======== schemas/19_suppress.sql ========
-- Keep that a number opted out of a business's texts. Of several opt-outs the latest time counts, and the source of one that
-- a START may not lift: a STOP that comes after a telephone call takes nothing away from it.
-- Where somebody's transaction holds the number's place (or the business's row) locked for longer than lock_timeout, it is kept
-- beside it: the opt-out holds either way.
create or replace function smsretry.suppress(business_id uuid, number_key bytea, since timestamptz, source text)
returns void language plpgsql set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
begin
    if exists (select 1 from smsretry.unwritten_consents u
               where u.number_key = suppress.number_key and u.consent = 'opted_out'
                 and (u.since, u.source) is not distinct from (suppress.since, left(suppress.source, 200))) then
        return; -- it has just been waited for
    end if;
    insert into smsretry.suppressions as s (number_key, business_id, since, source)
    values (suppress.number_key, suppress.business_id, suppress.since, left(suppress.source, 200))
    on conflict (number_key) do update
    set since = greatest(s.since, excluded.since),
        source = case
            when smsretry.start_lifts(s.source) then excluded.source
            when s.since < excluded.since and not smsretry.start_lifts(excluded.source) then excluded.source
            else s.source end
    where s.since < excluded.since or (smsretry.start_lifts(s.source) and not smsretry.start_lifts(excluded.source));
exception when lock_not_available or deadlock_detected then
    insert into smsretry.unwritten_consents (number_key, business_id, consent, since, source)
    values (suppress.number_key, suppress.business_id, 'opted_out', suppress.since, left(suppress.source, 200));
end
$$;

revoke all on function smsretry.suppress from public, anon, authenticated;
grant execute on function smsretry.suppress to service_role;

-- ======== schemas/19_suppressed_since.sql ========
-- Since when a number (smsretry.number_key) may not be texted by a business because somebody who has it opted out there. Null:
-- nobody did, or a later opt-in lifted it.
create or replace function smsretry.suppressed_since(number_key bytea)
returns timestamptz language sql stable set search_path = pg_catalog, pg_temp as $$
    select max(o.since)
    from (select s.since from smsretry.suppressions s where s.number_key = suppressed_since.number_key
          union all
          select u.since from smsretry.unwritten_consents u
          where u.number_key = suppressed_since.number_key and u.consent = 'opted_out') o
$$;

revoke all on function smsretry.suppressed_since from public, anon, authenticated;
grant execute on function smsretry.suppressed_since to service_role;

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
       -- leaves. A text that has one row, and no error yet, has none: those are not looked up.
       case when q.last_error is null
                 and cardinality(array(select o.id from public.sms_retry_queue o where o.send_log_id = q.send_log_id)) < 2
            then '{}' else array(
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
       s.held_since is not null or h.scheduled_id is not null as held, coalesce(h.why, s.why) as why, null::uuid as attempt_id, null::timestamptz as in_doubt_since,
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
left join smsretry.held_sends h on h.scheduled_id = s.id
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

-- ======== schemas/35_tell_waiting.sql ========
-- Tell a send log that its text waits again, and has no message. The application's word for that is the column's default.
-- Where there is none, where it says that the text was sent, or where a rule of the application's forbids it, the log says
-- failed, a word that each takes. Answers null; or, if this one takes neither, what refuses it: codes and names, and never
-- the database's own message, which may quote the row.
create or replace function smsretry.tell_waiting(send_log_id uuid, error text, at timestamptz)
returns text language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    v_state text;
    v_table text;
    v_column text;
    v_rule text;
begin
    for v_try in 1 .. 2 loop
        begin
            if v_try = 1 then
                update public.send_logs l
                set status = default, provider_message_id = default, error_message = left(tell_waiting.error, 2000),
                    updated_at = tell_waiting.at
                where l.id = tell_waiting.send_log_id;
            else
                update public.send_logs l
                set status = 'failed', provider_message_id = '{}', error_message = left(tell_waiting.error, 2000),
                    updated_at = tell_waiting.at
                where l.id = tell_waiting.send_log_id;
            end if;
            if exists (select 1 from public.send_logs l
                       where l.id = tell_waiting.send_log_id and smsretry.is_sent(l.provider_message_id, l.status::text)) then
                raise exception 'It still says that its text was sent' using errcode = 'SR409', table = 'send_logs', column = 'status';
            end if;
            return null;
        exception
            when deadlock_detected or lock_not_available or serialization_failure then
                raise; -- passing: the caller repeats the call
            when others then
                get stacked diagnostics v_state = returned_sqlstate, v_table = table_name, v_column = column_name,
                    v_rule = constraint_name;
        end;
    end loop;
    return concat_ws(', ', v_state, nullif(v_table, ''), nullif(v_column, ''), nullif(v_rule, ''));
end
$$;

revoke all on function smsretry.tell_waiting from public, anon, authenticated;
grant execute on function smsretry.tell_waiting to service_role;

-- ======== schemas/36_accept_attempt.sql ========
-- Somebody knows that Twilio has the message of this attempt. If its row still waits for the answer, it is completed;
-- otherwise the send log is told, unless it has another message. The caller holds the row locked: the attempt's own, or the
-- newer one of its text that is in doubt about it, whose message it is from then on.
create or replace function smsretry.accept_attempt(
    retry public.sms_retry_queue, attempt_id uuid, sid text, settled_by text, at timestamptz
)
returns text language plpgsql set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
begin
    update public.sms_send_attempts a
    set outcome = 'accepted', finished_at = accept_attempt.at, settled_by = accept_attempt.settled_by,
        twilio_sid = accept_attempt.sid, error_code = null, sent_to = null, sent_body = null,
        delivery_look_at = accept_attempt.at,
        retry_id = retry.id, claim_no = case when a.retry_id = retry.id then a.claim_no else retry.claim_no end
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
    v_newer public.sms_retry_queue;
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
        for v_newer in -- the text was queued anew
            select q.* from public.sms_retry_queue q
            where q.send_log_id = v_row.send_log_id and q.business_id = v_row.business_id and q.id <> v_row.id
              and q.status = 'pending' and q.in_doubt_since is null
            for update
        loop
            perform smsretry.complete_row(v_newer, v_attempt.twilio_sid, record_delivery.at);
        end loop;
        perform smsretry.tell_delivery(v_row.send_log_id, 'delivered', v_attempt.twilio_sid, null, record_delivery.at);
    end if;
    return true;
end
$$;

revoke all on function smsretry.record_delivery from public, anon, authenticated;
grant execute on function smsretry.record_delivery to service_role;

-- ======== schemas/36_set_consent.sql ========
-- Set or end consent for everyone at a business who has this number, and for one customer by id, whose number may have
-- changed since. An opt-out cancels their waiting texts; a text in doubt or under way, or one that somebody holds locked,
-- meets it at its own next begin. A repeated opt-out keeps the record of the first, unless a START could lift the first and
-- not this one.
-- Returns how many customers it concerns and how many texts it cancelled.
create or replace function smsretry.set_consent(
    business_id uuid, customer_id uuid, phone text, consent text, source text, at timestamptz,
    out customers integer, out cancelled integer
)
language plpgsql set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
declare
    -- Null without the key of the hashes. No text goes out then; suppressions are made of the rows once there is a key.
    v_key constant bytea := (select smsretry.number_key(set_consent.business_id, set_consent.phone) from smsretry.secret);
    v_ids uuid[];
    v_said record;
    v_waiting public.sms_retry_queue;
begin
    perform smsretry.lock_number(set_consent.business_id, set_consent.phone);
    -- Locked in one order, so that two opt-outs of the same people wait for each other and do not deadlock.
    select array_agg(locked.id) into v_ids from (
        select c.id from public.customers c
        where (c.phone = set_consent.phone or c.id = set_consent.customer_id) and c.business_id = set_consent.business_id
        order by c.id for no key update) locked;
    customers := coalesce(cardinality(v_ids), 0);
    for v_said in -- this, and before it the opt-outs that could not be written when they were heard
        with earlier as (
            delete from smsretry.unwritten_consents u
            where u.number_key = v_key and u.since <= set_consent.at
            returning u.consent, u.since, u.source)
        select e.since, e.source from earlier e
        where e.consent = 'opted_out' and set_consent.consent = 'opted_out'
        union all
        select set_consent.at, set_consent.source
        order by 1
    loop
        -- Here, too: a row that is opted out already keeps its time, and an opt-in from before this one lifts nothing.
        if set_consent.consent = 'opted_out' and v_key is not null then
            perform smsretry.suppress(set_consent.business_id, v_key, v_said.since, v_said.source);
        end if;
        update public.customers c
        set sms_consent_status = set_consent.consent, sms_consent_at = v_said.since, sms_consent_source = v_said.source
        where c.id = any (v_ids)
          and (set_consent.consent <> 'opted_out' or c.sms_consent_status is distinct from 'opted_out'
               or (smsretry.start_lifts(c.sms_consent_source::text) and not smsretry.start_lifts(v_said.source)));
    end loop;

    cancelled := 0;
    if set_consent.consent = 'opted_out' then
        begin
            for v_waiting in
                select q.* from public.sms_retry_queue q
                where q.customer_id = any (v_ids) and q.status = 'pending' and q.in_doubt_since is null
                order by q.id for update
            loop
                perform smsretry.close_row(v_waiting, 'cancelled', 'Customer opted out', null, set_consent.at);
                cancelled := cancelled + 1;
            end loop;
        exception when lock_not_available or deadlock_detected then
            cancelled := 0; -- none of them
        end;
    end if;
end
$$;

revoke all on function smsretry.set_consent from public, anon, authenticated;
grant execute on function smsretry.set_consent to service_role;

-- ======== schemas/37_opt_out.sql ========
-- End consent for everyone who has this number: at one business, or without one at each that has a customer with it. Each
-- business answers for itself: somebody's transaction that holds its customers locked, or a rule of the application's that
-- refuses the change, keeps nobody else from opting out. All of them together are waited for a second. What could not be
-- written holds nevertheless (unwritten_consents); the same call again writes it. Where one business is named, what
-- refuses the change is told as the error it is.
-- left_only: only where this opt-out could not be written before, so that one that is said again changes nothing else.
--   customers: how many are marked now · cancelled: texts that waited · unmarked: customers who could not be marked
create or replace function smsretry.opt_out(
    phone text, source text, at timestamptz, business_id uuid default null, left_only boolean default false,
    out customers integer, out cancelled integer, out unmarked integer
)
language plpgsql set search_path = pg_catalog, pg_temp
set lock_timeout = '1s' as $$
#variable_conflict use_column
declare
    v_until constant timestamptz := clock_timestamp() + interval '1 second';
    v_business uuid;
    v_key bytea;
    v_customers integer;
    v_cancelled integer;
begin
    customers := 0;
    cancelled := 0;
    unmarked := 0;
    for v_business in
        select c.business_id from public.customers c
        where c.phone = opt_out.phone and (opt_out.business_id is null or c.business_id = opt_out.business_id)
        group by c.business_id order by c.business_id
    loop
        v_key := (select smsretry.number_key(v_business, opt_out.phone) from smsretry.secret);
        continue when opt_out.left_only and not exists (
            select 1 from smsretry.unwritten_consents u
            where u.number_key = v_key and u.consent = 'opted_out' and u.since = opt_out.at);
        perform set_config(
            'lock_timeout', greatest(ceil(extract(epoch from v_until - clock_timestamp()) * 1000), 20) || 'ms', true);
        begin
            select s.customers, s.cancelled into v_customers, v_cancelled
            from smsretry.set_consent(v_business, null, opt_out.phone, 'opted_out', opt_out.source, opt_out.at) s;
            customers := customers + v_customers;
            cancelled := cancelled + v_cancelled;
        exception when others then
            if v_key is null or (opt_out.business_id is not null and sqlstate not in ('55P03', '40P01')) then
                raise;
            end if;
            raise warning 'The customers of business % could not be marked as opted out yet: %', v_business, sqlstate;
            insert into smsretry.unwritten_consents (number_key, business_id, consent, since, source)
            select v_key, v_business, 'opted_out', opt_out.at, left(opt_out.source, 200)
            where not exists (
                select 1 from smsretry.unwritten_consents u
                where u.number_key = v_key and u.consent = 'opted_out' and u.since = opt_out.at);
            select unmarked + count(*) into unmarked from public.customers c
            where c.phone = opt_out.phone and c.business_id = v_business;
        end;
    end loop;
end
$$;

revoke all on function smsretry.opt_out from public, anon, authenticated;
grant execute on function smsretry.opt_out to service_role;

-- ======== schemas/37_take_back_stop.sql ========
-- Somebody texted START: at each business that has a customer with this number, what a STOP or Twilio's refusal ended before
-- `at` is as it was. Who had consented has consent again; who never gave any has none now. An opt-out that was said otherwise
-- stays, and so does all else at that business, as does what was said after `at`.
-- What consent was is known from stopped_consents. Where it is not, it is unknown, and somebody must ask anew: that is so of
-- rows that came in as opted out, of those that had another number then, and of what version 1.0.0 opted out, unless a text
-- had gone out under the consent (44_triggers.sql).
-- Each business answers for itself, and left_only means what it does, as in smsretry.opt_out.
--   customers: how many have consent again · unmarked: customers who could not be written
create or replace function smsretry.take_back_stop(
    phone text, at timestamptz, left_only boolean default false, out customers integer, out unmarked integer
)
language plpgsql set search_path = pg_catalog, pg_temp
set lock_timeout = '1s' as $$
#variable_conflict use_column
declare
    v_until constant timestamptz := clock_timestamp() + interval '1 second';
    v_business uuid;
    v_key bytea;
    v_ids uuid[];
    v_customers integer;
begin
    customers := 0;
    unmarked := 0;
    for v_business in
        select c.business_id from public.customers c
        where c.phone = take_back_stop.phone
        group by c.business_id order by c.business_id
    loop
        v_key := smsretry.number_key(v_business, take_back_stop.phone);
        continue when take_back_stop.left_only and not exists (
            select 1 from smsretry.unwritten_consents u
            where u.number_key = v_key and u.consent = 'opted_in' and u.since = take_back_stop.at);
        continue when smsretry.suppressed_since(v_key) is null and not exists (
            select 1 from public.customers c
            where c.phone = take_back_stop.phone and c.business_id = v_business and c.sms_consent_status::text = 'opted_out');
        perform set_config(
            'lock_timeout', greatest(ceil(extract(epoch from v_until - clock_timestamp()) * 1000), 20) || 'ms', true);
        begin
            perform smsretry.lock_number(v_business, take_back_stop.phone);
            v_ids := array(
                select c.id from public.customers c
                where c.phone = take_back_stop.phone and c.business_id = v_business
                order by c.id for no key update);
            delete from smsretry.unwritten_consents u
            where u.number_key = v_key and u.consent = 'opted_in' and u.since <= take_back_stop.at;
            -- Asked after the locks: what held them may have been an opt-out.
            continue when exists (
                select 1 from public.customers c
                where c.id = any (v_ids) and c.sms_consent_status::text = 'opted_out'
                  and (not smsretry.start_lifts(c.sms_consent_source::text) or c.sms_consent_at >= take_back_stop.at)
                union all
                select 1 from smsretry.suppressions s
                where s.number_key = v_key and (not smsretry.start_lifts(s.source) or s.since >= take_back_stop.at)
                union all
                select 1 from smsretry.unwritten_consents u
                where u.number_key = v_key and u.consent = 'opted_out'
                  and (not smsretry.start_lifts(u.source) or u.since >= take_back_stop.at));
            with given_back as (
                update public.customers c
                set sms_consent_status = case when x.known then x.consent else 'unknown' end,
                    sms_consent_at = take_back_stop.at, sms_consent_source = 'inbound_start'
                from (select i.id, t.customer_id is not null as known, t.consent
                      from unnest(v_ids) i (id)
                      left join smsretry.stopped_consents t on t.customer_id = i.id and t.number_key = v_key) x
                where c.id = x.id and c.sms_consent_status::text = 'opted_out'
                returning c.sms_consent_status::text as consent)
            select count(*) into v_customers from given_back g where g.consent = 'opted_in';
            customers := customers + v_customers;
            -- Where nobody has consent again, nothing else has done it.
            delete from smsretry.suppressions s
            where s.number_key = v_key and smsretry.start_lifts(s.source) and s.since < take_back_stop.at;
            delete from smsretry.unwritten_consents u
            where u.number_key = v_key and u.consent = 'opted_out' and smsretry.start_lifts(u.source)
              and u.since < take_back_stop.at;
        exception when others then
            raise warning 'The START of customers of business % could not be written yet: %', v_business, sqlstate;
            insert into smsretry.unwritten_consents (number_key, business_id, consent, since, source)
            select v_key, v_business, 'opted_in', take_back_stop.at, 'inbound_start'
            where not exists (
                select 1 from smsretry.unwritten_consents u
                where u.number_key = v_key and u.consent = 'opted_in' and u.since = take_back_stop.at);
            select unmarked + count(*) into unmarked from public.customers c
            where c.phone = take_back_stop.phone and c.business_id = v_business and c.sms_consent_status::text = 'opted_out';
        end;
    end loop;
end
$$;

revoke all on function smsretry.take_back_stop from public, anon, authenticated;
grant execute on function smsretry.take_back_stop to service_role;

-- ======== schemas/38_make_send_log.sql ========
-- The send log of a scheduled send, with the send's own id; the columns that are not named have their defaults. Answers whether
-- it was made now. After it there is one that says that its text waits, or an error: to be called inside a block.
create or replace function smsretry.make_send_log(id uuid, business_id uuid, customer_id uuid, body text, at timestamptz)
returns boolean language plpgsql set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
declare
    v_made boolean;
    v_sent boolean;
begin
    insert into public.send_logs (id, business_id, customer_id, channel, subject, created_at, updated_at)
    select make_send_log.id, make_send_log.business_id, make_send_log.customer_id, 'sms', make_send_log.body,
           make_send_log.at, make_send_log.at
    where not exists (select 1 from public.send_logs l where l.id = make_send_log.id);
    v_made := found;
    select smsretry.is_sent(l.provider_message_id, l.status::text) into v_sent
    from public.send_logs l where l.id = make_send_log.id;
    if v_sent is null then
        raise exception 'its send log was not kept; a trigger on send_logs swallows it, or gives it another id' using errcode = 'SR409';
    elsif v_made and v_sent then
        raise exception 'its send log says from the start that the text was sent; send_logs.status needs another default'
            using errcode = 'SR409';
    end if;
    return v_made;
end
$$;

revoke all on function smsretry.make_send_log from public, anon, authenticated;
grant execute on function smsretry.make_send_log to service_role;

-- ======== schemas/39_earlier_doubt.sql ========
-- A send of this text of which nobody knows whether it went out, whichever row of the text made it; of several the last.
-- Null: there is none. Another row of the text is first in doubt about it, instead of sent: evidence of it is looked for
-- again. One that is under way is no doubt yet.
--   since: when it came into doubt, which evidence is compared with · why: what the other row says meanwhile
-- In plpgsql, which plans it once a connection: every begin asks.
create or replace function smsretry.earlier_doubt(
    send_log_id uuid, business_id uuid, out attempt_id uuid, out since timestamptz, out why text
)
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
begin
    select a.id, coalesce(a.finished_at, a.begun_at) into attempt_id, since
    from public.sms_send_attempts a
    -- An array, so that an index finds them whatever is known of the tables.
    where a.retry_id = any (array(
            select q.id from public.sms_retry_queue q
            -- Another business's rows are none of this text's.
            where q.send_log_id = earlier_doubt.send_log_id and q.business_id = earlier_doubt.business_id
              and q.begun_at is null))
      and coalesce(a.outcome, 'in_doubt') = 'in_doubt'
    order by a.begun_at desc limit 1;
    if found then
        why := 'An earlier send of this text may have gone out: it is looked for before another one leaves';
    end if;
end
$$;

revoke all on function smsretry.earlier_doubt from public, anon, authenticated;
grant execute on function smsretry.earlier_doubt to service_role;

-- ======== schemas/39_keep_scheduled.sql ========
-- A scheduled send that could not be queued, for a reason that is not its own, waits: held, if somebody must mend it. It is
-- held for life at most, and not beyond its use. The caller holds the row locked.
--   result: held | later | cancelled
-- A trigger or a rule may refuse even this: it raises, swallows the update or undoes it. Then smsretry.held_sends keeps that
-- the row is held, why, and until when it is passed over, so that the others go on.
create or replace function smsretry.keep_scheduled(
    send public.scheduled_sends, trouble text, life interval, look_at timestamptz, at timestamptz,
    out result text, out why text
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
        keep_scheduled.send.held_since,
        (select h.held_since from smsretry.held_sends h where h.scheduled_id = keep_scheduled.send.id));
    v_expired := keep_scheduled.trouble is not null and coalesce(v_since + keep_scheduled.life <= keep_scheduled.at, false);
    begin
        result := case when v_expired then 'cancelled' when keep_scheduled.trouble is null then 'later' else 'held' end;
        why := case when v_expired then 'Expired before it could be sent. ' else '' end || keep_scheduled.trouble;
        update public.scheduled_sends s
        set status = case keep_scheduled.result when 'cancelled' then 'cancelled' else s.status end,
            why = case keep_scheduled.result when 'later' then s.why else left(keep_scheduled.why, 2000) end,
            held_since = case keep_scheduled.result when 'held' then coalesce(v_since, keep_scheduled.at)
                                                    when 'later' then s.held_since end,
            look_at = case when keep_scheduled.result <> 'cancelled' then keep_scheduled.look_at end
        where s.id = keep_scheduled.send.id
        returning s.status, coalesce(s.look_at, s.scheduled_for) into v_status, v_due;
        if coalesce(v_status = 'scheduled' and (v_expired or v_due < keep_scheduled.look_at), true) then
            raise exception 'It stays as it was' using errcode = 'SR409';
        end if;
        set constraints all immediate; -- what is only asked at the end would undo the others, too
    exception when others then
        get stacked diagnostics v_state = returned_sqlstate, v_table = table_name, v_column = column_name,
            v_rule = constraint_name;
        raise warning 'Scheduled send % could not be changed: %', keep_scheduled.send.id, v_state;
        result := 'held';
        why := left(concat_ws('. ', keep_scheduled.trouble, case
            when v_state = 'SR409' then 'Its row stays as it is, whatever is written: look for a trigger on scheduled_sends '
                || 'that swallows or undoes updates'
            else 'Its row cannot be changed: '
                || concat_ws(', ', v_state, nullif(v_table, ''), nullif(v_column, ''), nullif(v_rule, ''))
                || '. Mend the row, or look at the triggers and rules of scheduled_sends' end), 2000);
        insert into smsretry.held_sends (scheduled_id, held_since, look_at, expired, why)
        values (keep_scheduled.send.id, coalesce(v_since, keep_scheduled.at), keep_scheduled.look_at, v_expired, keep_scheduled.why)
        on conflict (scheduled_id) do update
        set look_at = excluded.look_at, expired = held_sends.expired or excluded.expired, why = excluded.why;
    end;
end
$$;

revoke all on function smsretry.keep_scheduled from public, anon, authenticated;
grant execute on function smsretry.keep_scheduled to service_role;

-- ======== schemas/39_queue_scheduled.sql ========
-- Make the text of a scheduled send: its send log and its row in the queue, or say why there can be none. The caller holds
-- the row locked. The send log has the row's own id, so there is one text at most, whatever happens to the row later.
--   result: queued | cancelled | failed
-- An error, and nothing is done, if the row stays as it was: without that it would be queued again and again.
create or replace function smsretry.queue_scheduled(
    send public.scheduled_sends, at timestamptz, out result text, out why text, out retry_id uuid
)
language plpgsql set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
declare
    v_made boolean;
    v_status text;
begin
    -- An end that no calendar has (infinity, the year 9999) is none. A rule refuses it, and with it each change of the row.
    if send.not_after > '2100-01-01 00:00+00' then
        send.not_after := null;
    end if;
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
        -- One that is made now is this text's, whatever a trigger of the application's made of its words.
        v_made := smsretry.make_send_log(
            queue_scheduled.send.id, queue_scheduled.send.business_id, queue_scheduled.send.customer_id,
            queue_scheduled.send.body, queue_scheduled.at);
        if v_made or exists (
                select 1 from public.send_logs l
                where l.id = queue_scheduled.send.id and l.business_id = queue_scheduled.send.business_id
                  and l.customer_id = queue_scheduled.send.customer_id and l.subject = queue_scheduled.send.body) then
            select q.retry_id into retry_id
            from public.queue_sms_retry(
                send_log_id => queue_scheduled.send.id, scheduled_for => queue_scheduled.send.scheduled_for,
                expires_in => queue_scheduled.send.not_after - smsretry.clock(), -- queue_sms_retry adds it to that
                message_class => queue_scheduled.send.message_class) q;
            result := 'queued';
        else
            why := 'Its id is that of another send log: schedule the text anew';
        end if;
    end if;
    update public.scheduled_sends s
    set status = queue_scheduled.result, why = queue_scheduled.why, held_since = null, look_at = null,
        not_after = queue_scheduled.send.not_after,
        send_log_id = case queue_scheduled.result when 'queued' then s.id else s.send_log_id end
    where s.id = queue_scheduled.send.id
    returning s.status into v_status;
    if coalesce(v_status = 'scheduled', true) then
        raise exception 'its row does not become %; a trigger on scheduled_sends swallows or undoes that', result
            using errcode = 'SR409';
    end if;
    set constraints all immediate; -- what is only asked at the end would undo the others, too
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
    where a.id = resend.retry.attempt_id and a.outcome is distinct from 'not_sent'
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
-- A send log that goes on saying that the text was sent would have it end unsent. So it is told first, and if that cannot be,
-- all stays as it is.
create or replace function smsretry.send_again(
    retry public.sms_retry_queue, attempt public.sms_send_attempts, error text, due timestamptz, at timestamptz
)
returns void language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    v_trouble text;
begin
    v_trouble := smsretry.tell_waiting(retry.send_log_id, send_again.error, send_again.at);
    if v_trouble is not null then
        raise exception 'Send log % cannot be told that its text waits: %', retry.send_log_id, v_trouble
            using errcode = 'SR409', hint = 'Look at the rules and triggers of send_logs. It is tried again in ten minutes.';
    end if;
    retry.attempt_count := greatest(retry.attempt_count, attempt.attempt_number);
    retry.last_error := send_again.error;
    retry.error_code := attempt.delivery_code;
    retry.reason := 'twilio_error';
    retry.why := null;
    retry.recover_count := 0;
    retry.reconcile_count := 0;
    perform smsretry.put_back(retry, send_again.due, send_again.at);
end
$$;

revoke all on function smsretry.send_again from public, anon, authenticated;
grant execute on function smsretry.send_again to service_role;

-- ======== schemas/40_queue_sms_retry.sql ========
-- Queue a retry for a send log, or return the live row that it already has.
--   result: queued | already_queued | already_sent | attempts_exhausted (the send log is then failed)
-- If an earlier row of the text ended in doubt, the new one is in doubt about that send: see smsretry.before_insert.
-- Names of parameters are the API, here and in every function in public: PostgREST calls by name.
-- The defaults are for the application, which may call this with send_log_id alone; the package passes its own delays. A
-- null means the default: due in one minute (the first step of the backoff), as marketing. expires_in null: of use for as
-- long as the worker says, from the first moment it might have gone out; a day of it has 24 hours. scheduled_for
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
    -- In seconds: a day that is added in a zone with summer time may have 23 hours or 25.
    v_expires constant timestamptz := v_now
        + make_interval(secs => extract(epoch from queue_sms_retry.expires_in)::double precision);
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
    v_state text;
    v_column text;
    v_rule text;
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

    begin
        insert into public.scheduled_sends (
            id, business_id, customer_id, body, scheduled_for, not_after, message_class, status, created_by, created_at, updated_at)
        values (v_id, schedule_sms.business_id, schedule_sms.customer_id, schedule_sms.body, schedule_sms.scheduled_for,
                schedule_sms.not_after, v_class, 'scheduled', schedule_sms.created_by, v_now, v_now)
        on conflict (id) do nothing
        returning * into v_there;
    exception when integrity_constraint_violation then
        -- Not the database's own error: that quotes the row with its body, and goes into the database's log.
        get stacked diagnostics v_state = returned_sqlstate, v_column = column_name, v_rule = constraint_name;
        raise exception 'scheduled_sends does not take the text: %', concat_ws(', ', v_state, nullif(v_column, ''), nullif(v_rule, ''))
            using errcode = 'SR409', hint = 'Look at what the table requires beyond smsretry''s columns, or insert the row yourself.';
    end;
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
-- keywords count. Recorded once a message: sent again, an old webhook writes what could not be written when it was heard,
-- as of then, and changes nothing else.
--   answer: opted_out | opted_in | nothing | already_recorded
--   customers: how many are opted out now, or have consent again · cancelled: texts that waited
--   unmarked: customers whose rows could not be changed yet, because somebody holds them locked. A STOP holds for them, too;
--     with the same message again they are marked.
create or replace function public.record_inbound_sms(
    phone text, twilio_sid text, opt_out_type text default null, body text default null
)
returns table (answer text, customers integer, cancelled integer, unmarked integer)
language plpgsql security invoker set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
declare
    v_word constant text := upper(btrim(record_inbound_sms.body, E' \t\r\n'));
    v_said text := upper(btrim(record_inbound_sms.opt_out_type));
    v_heard_at timestamptz := smsretry.clock();
    v_again boolean;
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
    unmarked := 0;
    if (v_said in ('STOP', 'START')) is not true then
        return next;
        return;
    end if;
    insert into smsretry.inbound_texts (twilio_sid, heard_at, said)
    values (record_inbound_sms.twilio_sid, v_heard_at, v_said) on conflict do nothing;
    v_again := not found;
    if v_again then
        select t.said, t.heard_at into v_said, v_heard_at
        from smsretry.inbound_texts t where t.twilio_sid = record_inbound_sms.twilio_sid;
    end if;
    answer := case when v_again then 'already_recorded' when v_said = 'STOP' then 'opted_out' else 'opted_in' end;
    if v_said = 'STOP' then
        select s.customers, s.cancelled, s.unmarked into customers, cancelled, unmarked
        from smsretry.opt_out(record_inbound_sms.phone, 'inbound_stop', v_heard_at, null, v_again) s;
    else
        select s.customers, s.unmarked into customers, unmarked
        from smsretry.take_back_stop(record_inbound_sms.phone, v_heard_at, v_again) s;
    end if;
    return next;
end
$$;

revoke all on function public.record_inbound_sms from public, anon, authenticated;
grant execute on function public.record_inbound_sms to service_role;

-- ======== schemas/41_record_sms_consent.sql ========
-- For people: a customer says stop, or yes, by telephone or letter. An opt-out without a business is from all of them;
-- consent is given to one.
--   customers: how many it concerns · cancelled: texts that waited
--   unmarked: customers whose rows could not be changed, because somebody holds them locked. The opt-out holds for them, too;
--     said again it marks them.
create or replace function public.record_sms_consent(
    phone text, consent text, source text, business_id uuid default null
)
returns table (customers integer, cancelled integer, unmarked integer)
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
    if record_sms_consent.consent = 'opted_out' then
        select s.customers, s.cancelled, s.unmarked into customers, cancelled, unmarked
        from smsretry.opt_out(
            record_sms_consent.phone, record_sms_consent.source, smsretry.clock(), record_sms_consent.business_id) s;
    else
        select s.customers, s.cancelled, 0 into customers, cancelled, unmarked
        from smsretry.set_consent(
            record_sms_consent.business_id, null, record_sms_consent.phone, 'opted_in', record_sms_consent.source,
            smsretry.clock()) s;
    end if;
    if customers + unmarked = 0 then
        raise exception 'No customer has this number' using errcode = 'SR404',
            hint = 'Check it against customers.phone, where numbers are stored as E.164. Nothing was recorded.';
    end if;
    return next;
end
$$;

revoke all on function public.record_sms_consent from public, anon, authenticated;
grant execute on function public.record_sms_consent to service_role;

-- ======== schemas/42_before_insert.sql ========
-- A row that the application inserts: a text that its own processor has claimed keeps one live row, a text of which an
-- earlier send is in doubt stays in doubt about it, and an error of any length is kept to what is useful.
-- security definer, because a tenant may insert rows and update none. If row level security then refuses the row, what
-- was done here is undone with it.
create or replace function smsretry.before_insert()
returns trigger language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    v_doubt record;
begin
    if new.status = 'pending' then
        perform smsretry.supersede(new.send_log_id, new.attempt_count);
        select * into v_doubt from smsretry.earlier_doubt(new.send_log_id, new.business_id);
        if v_doubt.attempt_id is not null then
            new.attempt_id := v_doubt.attempt_id;
            new.in_doubt_since := v_doubt.since;
            new.why := v_doubt.why;
        end if;
    end if;
    new.last_error := left(new.last_error, 2000);
    return new;
end
$$;

revoke all on function smsretry.before_insert from public, anon, authenticated;

-- ======== schemas/42_scheduled_send_changed.sql ========
-- Somebody changes a scheduled send. While it waits, it may be moved, changed or cancelled at will. Once it is queued, to
-- move or to cancel it does the same to its text, or is refused (SR409) if the text's send has begun or it has ended.
-- One that could not be changed, and was held elsewhere, is as any other from here on.
-- security definer, because an owner may change its scheduled sends and not the queue.
create or replace function smsretry.scheduled_send_changed()
returns trigger language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    v_now constant timestamptz := smsretry.clock();
    v_text public.sms_retry_queue;
begin
    delete from smsretry.held_sends h where h.scheduled_id = old.id;
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
-- opt-out says nothing new, nor does one that only comes to have the number, or is saved as it was. A START (inbound_start)
-- lifts what a START may.
-- What consent was before a STOP is kept for a later START, while that opt-out stands on the customer's row.
-- security definer, because tenants write customers and may not write suppressions. It never refuses a write of theirs.
create or replace function smsretry.keep_suppression()
returns trigger language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    v_key bytea;
    v_since timestamptz;
    v_changed boolean;
    v_anew boolean;
begin
    -- Here and not above: of what fails there the handler does not hear.
    v_key := smsretry.number_key(new.business_id, new.phone);
    v_since := coalesce(new.sms_consent_at, smsretry.clock());
    v_changed := tg_op = 'UPDATE' and old.sms_consent_status is distinct from new.sms_consent_status;
    -- Only the status was changed: the time is still that of the consent which ends here.
    if v_changed and old.sms_consent_at is not distinct from new.sms_consent_at then
        v_since := smsretry.clock();
    end if;
    -- An application that saves whole rows may write an earlier time, too: it cuts off microseconds.
    v_anew := tg_op = 'INSERT' or v_changed
        or coalesce(new.sms_consent_at > coalesce(old.sms_consent_at, '-infinity'), false);
    if new.sms_consent_status::text = 'opted_out' then
        if v_anew or (old.business_id, old.phone) is distinct from (new.business_id, new.phone)
            or (old.sms_consent_source is distinct from new.sms_consent_source
                and smsretry.suppressed_since(v_key) is not null) then
            perform smsretry.suppress(new.business_id, v_key, v_since, new.sms_consent_source::text);
        end if;
    elsif new.sms_consent_status::text = 'opted_in' and v_anew then
        delete from smsretry.suppressions s
        where s.number_key = v_key and s.since < new.sms_consent_at
          and (new.sms_consent_source::text is distinct from 'inbound_start' or smsretry.start_lifts(s.source));
        delete from smsretry.unwritten_consents u
        where u.number_key = v_key and u.since < new.sms_consent_at and u.consent = 'opted_out'
          and (new.sms_consent_source::text is distinct from 'inbound_start' or smsretry.start_lifts(u.source));
    end if;
    if v_changed and new.sms_consent_status::text = 'opted_out' and smsretry.start_lifts(new.sms_consent_source::text) then
        insert into smsretry.stopped_consents (customer_id, number_key, consent)
        values (new.id, v_key, old.sms_consent_status::text)
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
    after insert or update of business_id, phone, sms_consent_status, sms_consent_at, sms_consent_source on public.customers
    for each row when (new.phone is not null) execute function smsretry.keep_suppression();

-- What was queued anew before its insert asked whether an earlier send of the text is in doubt. Found by the sends in doubt,
-- of which there are few, and not by the rows that wait.
update public.sms_retry_queue q
set attempt_id = d.attempt_id, in_doubt_since = d.since, why = d.why, held_since = null
from (select distinct e.send_log_id, e.business_id
      from public.sms_send_attempts a join public.sms_retry_queue e on e.id = a.retry_id
      where coalesce(a.outcome, 'in_doubt') = 'in_doubt' and e.status in ('failed', 'cancelled')) ended
cross join lateral smsretry.earlier_doubt(ended.send_log_id, ended.business_id) d
where q.send_log_id = ended.send_log_id and q.business_id = ended.business_id
  and q.status = 'pending' and q.in_doubt_since is null and d.attempt_id is not null;

-- Who had opted out before there was this trigger, and in which way. What a START may not lift is said first: in version
-- 1.0.0 a later STOP took its place. Nobody is opted out anew who has opted in since.
insert into smsretry.suppressions as s (number_key, business_id, since, source)
select distinct on (1) smsretry.number_key(c.business_id, c.phone), c.business_id, c.last_at, left(c.sms_consent_source, 200)
from (select o.*, max(coalesce(o.sms_consent_at, smsretry.clock())) over (partition by o.business_id, o.phone) as last_at
      from public.customers o
      where o.sms_consent_status::text = 'opted_out' and o.phone is not null) c
where not exists (
    select 1 from public.customers i
    where i.phone = c.phone and i.business_id = c.business_id and i.sms_consent_status::text = 'opted_in'
      and i.sms_consent_at > c.last_at)
order by 1, smsretry.start_lifts(c.sms_consent_source::text), c.sms_consent_at desc nulls last
on conflict (number_key) do update set source = excluded.source
where smsretry.start_lifts(s.source) and not smsretry.start_lifts(excluded.source);

-- What consent was before a STOP that version 1.0.0 wrote. It kept no record of that, and opted out those who had never
-- consented, too; its START then called all of them opted in. So a START may give consent back only where it is known
-- otherwise: the last text to the customer's number before the STOP was begun under consent. A consent that says a START is
-- where it comes from proves nothing, and the text before it is asked. Who is not found here is unknown after a START, and
-- must be asked anew. Rows that are opted in by such a START stay as they are: of them, too, it is not known.
insert into smsretry.stopped_consents (customer_id, number_key, consent)
select c.id, k.number_key, 'opted_in'
from public.customers c
cross join lateral (select smsretry.number_key(c.business_id, c.phone) as number_key) k
cross join lateral (
    select a.consent_status
    from public.sms_send_attempts a
    join public.sms_retry_queue q on q.id = a.retry_id
    where a.number_key = k.number_key and q.customer_id = c.id and a.begun_at <= coalesce(c.sms_consent_at, 'infinity')
      and a.consent_source is distinct from 'inbound_start'
    order by a.begun_at desc limit 1) last
where c.sms_consent_status::text = 'opted_out' and c.phone is not null
  and smsretry.start_lifts(c.sms_consent_source::text) and last.consent_status = 'opted_in'
on conflict do nothing;

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

-- ======== schemas/51_queue_scheduled_sms.sql ========
-- Make the texts of scheduled sends whose time comes within `ahead`, so that they wait in the queue when it comes. At most
-- limit_count of them (500 at the most), the oldest first, and business by business in turns. Each is one transaction's
-- work and a subtransaction of its own: send log, queue row and status, or none of them. May be repeated.
-- Turns are taken among the oldest 4 × limit_count: callers go on until fewer come back, so a flood of one business's
-- delays another's by seconds, and they are queued ahead by more. Those that are held and cannot be changed are passed over
-- until they are looked at again (smsretry.held_sends).
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
    v_message text;
begin
    for v_send in
        with oldest as materialized (
            select n.* from (
                select s.id, s.business_id, coalesce(s.look_at, s.scheduled_for) as due
                from public.scheduled_sends s
                where s.status = 'scheduled' and coalesce(s.look_at, s.scheduled_for) <= v_until
                  -- A subquery and no join, so that the index is walked in its order, and no further than is needed.
                  and coalesce((select h.look_at from smsretry.held_sends h where h.scheduled_id = s.id), v_until) <= v_until
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
        if exists (select 1 from smsretry.held_sends h where h.scheduled_id = v_send.id and h.expired) then
            select k.result, k.why into result, why
            from smsretry.keep_scheduled(v_send, 'It was held for too long', life, v_until + interval '13 minutes', v_now) k;
            return next;
            continue;
        end if;
        v_state := case when v_send.business_id = any (v_busy) then '55P03' end;
        if v_state is null then
            begin
                select q.result, q.why, q.retry_id into result, why, retry_id
                from smsretry.queue_scheduled(v_send, v_now) q;
            exception when others then
                get stacked diagnostics v_state = returned_sqlstate, v_table = table_name, v_column = column_name,
                    v_rule = constraint_name, v_message = message_text;
            end;
        end if;
        if v_state in ('55P03', '40P01', '40001') then
            v_busy := v_busy || v_send.business_id;
            select k.result, k.why into result, why
            from smsretry.keep_scheduled(v_send, null, life, v_until + interval '30 seconds', v_now) k;
        elsif v_state is not null then
            -- No message of the database's: it may quote the row. Ours, with an SR code, hold ids only.
            select k.result, k.why into result, why
            from smsretry.keep_scheduled(
                v_send, 'Its text cannot be made: ' || case
                    when v_state like 'SR%' then v_message
                    else concat_ws(', ', v_state, nullif(v_table, ''), nullif(v_column, ''), nullif(v_rule, ''))
                        || '. Look at what send_logs and scheduled_sends require beyond smsretry''s columns, and at their triggers'
                end, life, v_until + interval '13 minutes', v_now) k;
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
--     | lost     another worker has the row; or, where why says so, it is in doubt from now on about an earlier send
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
    v_doubtful uuid;
    v_since timestamptz;
    v_why text;
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
        -- As smsretry.suppressed_since has it, which costs more to call than to say: every send asks.
        when exists (select 1 from smsretry.suppressions s where s.number_key = v_key)
            or exists (select 1 from smsretry.unwritten_consents u where u.number_key = v_key and u.consent = 'opted_out')
            then 'Customer opted out (the number did, at this business; a later opt-in lifts it)'
        when v_row.expires_at <= v_now then 'Expired before it could be sent'
    end;
    if v_refusal is not null then
        perform smsretry.close_row(v_row, 'cancelled', v_refusal, null, v_now);
        return query select 'ended', v_refusal, v_now, null::timestamptz;
        return;
    end if;
    -- A row is in doubt about an earlier send from its insert on. But somebody may have put back one that had ended, which
    -- was claimed before.
    if v_row.claim_no > 1 then
        select d.attempt_id, d.since, d.why into v_doubtful, v_since, v_why
        from smsretry.earlier_doubt(v_row.send_log_id, v_row.business_id) d;
    end if;
    if v_doubtful is not null then
        v_row.attempt_id := v_doubtful;
        v_row.in_doubt_since := v_since;
        v_row.reconcile_count := 0;
        v_row.held_since := null;
        v_row.why := v_why;
        perform smsretry.put_back(v_row, v_now, v_now);
        return query select 'lost', v_why, v_now, null::timestamptz;
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

-- ======== schemas/56_recover_stuck_sms_retries.sql ========
-- Take back the rows whose worker has been silent for stale_minutes, and return them as they are now.
--   begun, or claimed by a caller that does not begin: the text may have gone out, so the row is in doubt
--   in doubt: still so; after the second time it is claimed alone
--   neither: pending again at no cost, however often; after the second time it is claimed alone, and ever less often
-- None is given up here: a text that was never tried is never failed before it expires.
-- A row in doubt is looked at again look_in from now. life: how long a text is of use, from a claim on that counts as its
-- first send. The defaults are for the application, which calls this with stale_minutes alone.
create or replace function public.recover_stuck_sms_retries(
    stale_minutes integer default 10, look_in interval default '1 minute', life interval default '48 hours'
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
                v_stale.expires_at := coalesce(v_stale.expires_at, least(v_stale.claimed_at, v_now) + life);
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

-- ======== schemas/61_reconcile_sms_retry.sql ========
-- What a look for evidence came to, for a row in doubt that the caller has claimed. May be repeated.
--   decision: accepted     it was found (twilio_sid; null if only the send log says so)
--           | look_again   it was not found; the next look is look_in from now
--           | look_failed  the look itself failed, which proves nothing; the next one is look_in from now
--           | resend       it was not found for long enough: send it again
--           | hold         a person is to decide, and error says about what; looked at again look_in from now. ambiguous:
--                          the messages that may be the text. Past its expiry, the row fails with that error.
-- life: how long the text is of use, if nothing has said so before this look.
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
    ambiguous text[] default null,
    life interval default interval '48 hours'
)
returns text language plpgsql security invoker set search_path = pg_catalog, pg_temp
set lock_timeout = '2s' as $$ -- as begin_sms_attempt
#variable_conflict use_column
declare
    v_row public.sms_retry_queue;
    v_now timestamptz;
    v_decision text := reconcile_sms_retry.decision;
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
    v_row.expires_at := coalesce(v_row.expires_at, v_now + reconcile_sms_retry.life);
    if v_decision <> 'accepted' and exists (
        select 1 from public.sms_send_attempts a where a.id = v_row.attempt_id and a.outcome = 'not_sent') then
        v_decision := 'resend'; -- a person has said so of an older row of the text, at the moment this one was queued
    end if;
    case v_decision
        when 'accepted' then
            update public.sms_send_attempts a
            set outcome = 'accepted', finished_at = v_now, settled_by = reconcile_sms_retry.settled_by,
                twilio_sid = reconcile_sms_retry.twilio_sid, error_code = null, sent_to = null, sent_body = null,
                delivery_look_at = case when reconcile_sms_retry.twilio_sid is not null then v_now end,
                retry_id = v_row.id, claim_no = case when a.retry_id = v_row.id then a.claim_no else v_row.claim_no end
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
            if v_decision = 'look_again' then
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
    -- The row is the one that waits to know: the attempt's own, or a newer one of its text that is in doubt about it.
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
-- it stays ended, and may be requeued. If it has been queued anew, what is said of the old row is said of the new one.
-- Answers resolved, or not_in_doubt. With a SID it may be repeated.
create or replace function public.resolve_sms_doubt(
    retry_id uuid, twilio_sid text default null, who text default null, because text default null
)
returns text language plpgsql security invoker set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
declare
    v_row public.sms_retry_queue;
    v_newer public.sms_retry_queue;
    v_attempt_id uuid;
begin
    if num_nonnulls(resolve_sms_doubt.who, resolve_sms_doubt.because) > 0 then
        perform smsretry.check_told(resolve_sms_doubt.who, resolve_sms_doubt.because);
    end if;
    select * into v_row from public.sms_retry_queue q where q.id = resolve_sms_doubt.retry_id for update;
    if v_row.status in ('failed', 'cancelled') then
        select * into v_newer from public.sms_retry_queue q
        where q.send_log_id = v_row.send_log_id and q.business_id = v_row.business_id
          and q.status in ('pending', 'processing') and q.in_doubt_since is not null
        for update;
        if found then
            v_row := v_newer;
        end if;
    end if;
    if v_row.status = 'pending' and v_row.in_doubt_since is not null then
        v_attempt_id := v_row.attempt_id;
    elsif v_row.status in ('failed', 'cancelled') then
        select d.attempt_id into v_attempt_id from smsretry.earlier_doubt(v_row.send_log_id, v_row.business_id) d;
    end if;
    if v_attempt_id is null then -- or a worker is looking at it at this moment
        return case when exists (select 1 from public.sms_send_attempts a
                                 join public.sms_retry_queue q on q.id = a.retry_id
                                 where a.twilio_sid = resolve_sms_doubt.twilio_sid and q.send_log_id = v_row.send_log_id)
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

-- ======== schemas/80_cancel_scheduled.sql ========
-- For cancel_sms_retries: end scheduled sends that are no texts yet, the newest first; one that cannot be changed alone stays.
-- What was done, or would be, a JSON object a row, as told_of_change has it. The filter: as smsretry.chosen; a code or a
-- reason fits none of them.
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
    v_found boolean;
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
            begin
                update public.scheduled_sends s set status = 'cancelled', why = cancel_scheduled.why
                where s.id = v_send.id and s.status = 'scheduled';
                v_found := found;
                v_skip := case
                    when exists (select 1 from public.scheduled_sends s where s.id = v_send.id and s.status = 'scheduled')
                        then 'A trigger on scheduled_sends keeps it as it is'
                    when not v_found then 'It has changed meanwhile'
                end;
                set constraints all immediate; -- what is only asked at the end would undo the others, too
            exception when others then
                v_skip := 'A trigger or a rule of scheduled_sends refuses each change of it (' || sqlstate || ')';
            end;
        end if;
        v_told := v_told || jsonb_build_object(
            'retry_id', v_send.id, 'business_id', v_send.business_id, 'customer_id', v_send.customer_id,
            'number', smsretry.masked((select c.phone from public.customers c where c.id = v_send.customer_id)),
            'message_class', case v_send.message_class when 'transactional' then 'transactional' else 'marketing' end,
            'attempts', 0,
            'was', coalesce(smsretry.numberless(v_send.why), 'Scheduled for ' || to_char(v_send.scheduled_for at time zone 'UTC', 'YYYY-MM-DD HH24:MI') || ' UTC'),
            'skipped', v_skip, 'warned', null);
    end loop;
    return v_told;
end
$$;

revoke all on function smsretry.cancel_scheduled from public, anon, authenticated;
grant execute on function smsretry.cancel_scheduled to service_role;

-- ======== schemas/80_doubt.sql ========
-- For doubt_sms_retries: whether this text went out at some time since is unknown. The send that may have been is written
-- as an attempt; one that was in doubt already keeps its own. The first look is due at once. life: how long the text is of
-- use from the moment it was due, though not from before since, if nothing has said so.
create or replace function smsretry.doubt(retry public.sms_retry_queue, since timestamptz, at timestamptz, life interval)
returns void language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    retry.claim_no := retry.claim_no + 1000000; -- more than a text was ever claimed
    update public.sms_retry_queue q set claim_no = retry.claim_no where q.id = retry.id;
    if retry.in_doubt_since is null then
        retry.claimed_at := doubt.since;
        retry := smsretry.begin_for_application(retry);
    end if;
    update public.sms_send_attempts a set outcome = 'in_doubt', finished_at = doubt.at
    where a.id = retry.attempt_id and a.outcome is distinct from 'accepted';
    retry.in_doubt_since := doubt.at;
    retry.expires_at := coalesce(retry.expires_at, greatest(doubt.since, retry.scheduled_for) + doubt.life);
    retry.reconcile_count := 0;
    retry.recover_count := 0;
    retry.held_since := null;
    retry.why := 'The database was restored from a backup: it is unknown whether the text went out after that was taken';
    perform smsretry.put_back(retry, doubt.at, doubt.at);
end
$$;

revoke all on function smsretry.doubt from public, anon, authenticated;
grant execute on function smsretry.doubt to service_role;

-- ======== schemas/80_is_unsettled.sql ========
-- Whether one of the sends of this row's text, by this row or another, may have gone out and nobody knows. Such a text is
-- never simply sent again.
create or replace function smsretry.is_unsettled(retry_id uuid)
returns boolean language sql stable set search_path = pg_catalog, pg_temp as $$
    select exists (
        select 1 from public.sms_retry_queue q
        cross join lateral smsretry.earlier_doubt(q.send_log_id, q.business_id) d
        where q.id = is_unsettled.retry_id and d.attempt_id is not null)
$$;

revoke all on function smsretry.is_unsettled from public, anon, authenticated;
grant execute on function smsretry.is_unsettled to service_role;

-- ======== schemas/81_doubt_sms_retries.sql ========
-- For a person, when the database was restored from a backup, and before anything runs: what went out after the backup was
-- taken (since) looks unsent. Put it in doubt, so that it is looked for at Twilio before it is sent again.
-- Concerned is what was in the backup and was due by now: texts that waited, texts that were claimed, and those in doubt,
-- which may have been sent again since. Scheduled sends whose time has come are made texts first, row_limit of them a call
-- and 500 at the most; those that are none yet are named as left alone. What was begun when the backup was taken is in doubt
-- by recovery.
-- Claim numbers leap, so that no worker from before the restore can write. May be repeated, and must be until it changes
-- none and names no scheduled send. What it leaves alone comes last, and so in nobody's way. life: see smsretry.doubt.
-- dry_run and the answer: as for requeue_failed_sms.
create or replace function public.doubt_sms_retries(
    since timestamptz,
    dry_run boolean default true,
    who text default null,
    because text default null,
    row_limit integer default 1000,
    life interval default '48 hours'
)
returns table (matched integer, changed integer, skipped jsonb, warned jsonb, sample jsonb)
language plpgsql security invoker set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
declare
    v_now constant timestamptz := smsretry.clock();
    v_found record;
    v_row public.sms_retry_queue;
    v_send public.scheduled_sends;
    v_told jsonb[] := '{}';
begin
    if (doubt_sms_retries.since <= v_now and doubt_sms_retries.dry_run is not null
        and doubt_sms_retries.row_limit between 1 and 10000) is not true then
        raise exception 'since is when the backup was taken, and not to come; row_limit is 1 to 10000' using errcode = 'SR422';
    end if;
    if not doubt_sms_retries.dry_run then
        perform smsretry.check_told(doubt_sms_retries.who, doubt_sms_retries.because);
        perform public.queue_scheduled_sms(doubt_sms_retries.row_limit, interval '0', doubt_sms_retries.life);
        if not found then -- only held ones are left, and what they wait for may be mended by now
            update smsretry.held_sends h set look_at = v_now where h.look_at > v_now;
            for v_send in
                select s.* from public.scheduled_sends s
                where s.status = 'scheduled' and s.held_since is not null and s.scheduled_for <= v_now and s.look_at > v_now
                order by s.scheduled_for, s.id
                limit doubt_sms_retries.row_limit
            loop
                begin
                    update public.scheduled_sends s set look_at = v_now where s.id = v_send.id;
                exception when others then
                    null; -- it is named below
                end;
            end loop;
            perform public.queue_scheduled_sms(doubt_sms_retries.row_limit, interval '0', doubt_sms_retries.life);
        end if;
    end if;
    for v_found in
        select q.id, k.skip
        from public.sms_retry_queue q
        cross join lateral (select case
            when q.status = 'processing' and q.claimed_at > doubt_sms_retries.since
                then 'A worker has it at this moment: stop every runner first'
            when q.in_doubt_since is null and not exists (
                select 1 from public.customers c where c.id = q.customer_id and coalesce(btrim(c.phone), '') <> '')
                then 'Nobody can have texted a customer without a number'
            when exists (select 1 from public.send_logs l where l.id = q.send_log_id
                         and smsretry.is_sent(l.provider_message_id, l.status::text)) then 'Its send log says that it was sent'
        end) as k (skip)
        where q.status in ('pending', 'processing') and q.begun_at is null
          and (q.created_at < doubt_sms_retries.since
               or exists (select 1 from public.scheduled_sends s
                          where s.send_log_id = q.send_log_id and s.created_at < doubt_sms_retries.since))
          and (q.scheduled_for <= v_now or q.in_doubt_since is not null or q.status = 'processing')
          and (q.in_doubt_since is null or q.in_doubt_since < doubt_sms_retries.since)
        order by k.skip is not null, q.scheduled_for, q.id
        limit doubt_sms_retries.row_limit
        for update of q
    loop
        select * into v_row from public.sms_retry_queue q where q.id = v_found.id;
        if not doubt_sms_retries.dry_run and v_found.skip is null then
            begin
                perform smsretry.doubt(v_row, doubt_sms_retries.since, v_now, doubt_sms_retries.life);
                if not exists (select 1 from public.sms_retry_queue q where q.id = v_row.id and q.in_doubt_since = v_now) then
                    raise exception 'Row % stays as it is', v_row.id using errcode = 'SR409';
                end if;
                insert into smsretry.steps (retry_id, taken_at, step, who, because)
                values (v_row.id, v_now, 'put in doubt', doubt_sms_retries.who, doubt_sms_retries.because);
                set constraints all immediate; -- what is only asked at the end would undo the others, too
            exception
                when no_data_found then
                    raise; -- the key of the hashed numbers is gone: that concerns all
                when others then
                    v_found.skip := 'A trigger or a rule refuses to have it changed (' || sqlstate || ')';
            end;
        end if;
        v_told := v_told || jsonb_build_object(
            'retry_id', v_row.id, 'business_id', v_row.business_id, 'customer_id', v_row.customer_id,
            'number', smsretry.masked((select c.phone from public.customers c where c.id = v_row.customer_id)),
            'message_class', v_row.message_class, 'attempts', v_row.attempt_count,
            'was', smsretry.numberless(coalesce(v_row.why, v_row.last_error)), 'skipped', v_found.skip, 'warned', null);
    end loop;
    for v_send in
        select s.* from public.scheduled_sends s
        where s.status = 'scheduled' and s.scheduled_for <= v_now and s.created_at < doubt_sms_retries.since
        order by s.scheduled_for, s.id
        limit doubt_sms_retries.row_limit - cardinality(v_told)
    loop
        v_told := v_told || jsonb_build_object(
            'retry_id', v_send.id, 'business_id', v_send.business_id, 'customer_id', v_send.customer_id,
            'number', smsretry.masked((select c.phone from public.customers c where c.id = v_send.customer_id)),
            'message_class', case v_send.message_class when 'transactional' then 'transactional' else 'marketing' end,
            'attempts', 0, 'was', smsretry.numberless(v_send.why), 'warned', null, 'skipped', case
                when doubt_sms_retries.dry_run then 'A scheduled send, which is made a text first'
                when v_send.held_since is not null
                    or exists (select 1 from smsretry.held_sends h where h.scheduled_id = v_send.id)
                    then 'A scheduled send that cannot be made a text: mend what explain_sms says of it, and call again '
                        || 'before anything runs'
                else 'A scheduled send that is no text yet: call again'
            end);
    end loop;
    return query select * from smsretry.told_of_change(v_told);
end
$$;

revoke all on function public.doubt_sms_retries from public, anon, authenticated;
grant execute on function public.doubt_sms_retries to service_role;

-- ======== schemas/81_requeue_failed_sms.sql ========
-- For a person: put texts that failed back into the queue, due at once. Every check is made again when they are claimed.
-- What is known is kept: message class, attempts so far, errors; each gets more_attempts further ones, and its life counts
-- anew. Its send log says what is true meanwhile: it waits. One whose send log cannot be told so is left alone.
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
                or smsretry.suppressed_since(smsretry.number_key(v_row.business_id, v_customer.phone)) is not null
                then 'The customer has not opted in: it will be cancelled'
            when v_customer.phone_status in ('invalid', 'not_mobile')
                then 'The number is known to take no texts (' || v_customer.phone_status || ')'
        end;
        if v_skip is null and not requeue_failed_sms.dry_run then
            -- The SID of a message that did not arrive is kept with its attempt.
            v_skip := 'Its send log cannot be told that it waits: ' || smsretry.tell_waiting(v_log.id, null, v_now);
        end if;
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
        insert into smsretry.steps (retry_id, taken_at, step, who, because)
        values (v_row.id, v_now, 'requeued', requeue_failed_sms.who, requeue_failed_sms.because);
    end loop;
    return query select * from smsretry.told_of_change(v_told);
end
$$;

revoke all on function public.requeue_failed_sms from public, anon, authenticated;
grant execute on function public.requeue_failed_sms to service_role;

-- ======== drop smsretry.scheduled_on_record ========
drop view if exists smsretry.scheduled_on_record;

-- ======== schemas/81_scheduled_on_record.sql ========
-- A scheduled send that is no text yet, or never became one, for people: what explain_sms tells. retry_id is its own id,
-- which its send log will have, too. What the application wrote is shown as far as it is a time, or a class of ours. Columns:
-- smsretry.text_on_record.
create or replace view smsretry.scheduled_on_record with (security_invoker = true) as
select s.id as retry_id, s.business_id, b.name as business, s.customer_id, null::uuid as send_log_id,
       smsretry.masked(c.phone) as number, left(c.timezone, 100) as timezone, left(b.timezone, 100) as business_timezone,
       case s.message_class when 'transactional' then 'transactional' else 'marketing' end as message_class,
       case when s.status = 'scheduled' and (s.held_since is not null or h.scheduled_id is not null) then 'held' else s.status end as state,
       greatest(least(coalesce(s.held_since, case s.status when 'scheduled' then h.held_since end, s.updated_at, smsretry.clock()),
                      k.last), k.first) as since,
       left(smsretry.numberless(case when s.status = 'scheduled' then coalesce(h.why, s.why) else s.why end), 2000) as why,
       null::integer as code,
       case when s.status = 'scheduled' then least(greatest(s.scheduled_for, s.look_at, h.look_at, k.first), k.last) end as next_at,
       case when s.not_after between k.first and k.last then s.not_after end as expires_at,
       0 as attempts, 3 as max_attempts, greatest(least(coalesce(s.created_at, smsretry.clock()), k.last), k.first) as queued_at,
       left(c.sms_consent_status::text, 40) as consent, c.sms_consent_at as consent_at,
       left(smsretry.numberless(c.sms_consent_source), 200) as consent_source,
       smsretry.suppressed_since(smsretry.number_key(s.business_id, c.phone)) as suppressed_since,
       left(smsretry.numberless(c.phone_status::text), 40) as phone_status, null::text as send_log_status, null::text as sid,
       '[]'::jsonb as history, '[]'::jsonb as steps,
       case when s.status = 'scheduled' then array['cancel_sms_retries'] else '{}' end::text[] as can,
       smsretry.clock() as asked_at
from public.scheduled_sends s
cross join (select '2000-01-01 00:00+00'::timestamptz as first, '2100-01-01 00:00+00'::timestamptz as last) k
left join smsretry.held_sends h on h.scheduled_id = s.id
left join public.businesses b on b.id = s.business_id
left join public.customers c on c.id = s.customer_id and c.business_id = s.business_id
where s.send_log_id is null and s.status in ('scheduled', 'cancelled', 'failed');

grant select on smsretry.scheduled_on_record to service_role;

-- ======== drop smsretry.text_on_record ========
drop view if exists smsretry.text_on_record;

-- ======== schemas/81_text_on_record.sql ========
-- A text and all that is known of it, for people: what explain_sms tells. No number is in it but its last four digits, also
-- where the application wrote freely.
-- security_invoker, so that row level security is the reader's.
--   state: smsretry.text_state · since: when that began · next_at: when it is looked at again · history: its attempts, and
--   the one of another row that it is in doubt about · steps: what people did to it · can: the calls that would change
--   something now · asked_at: the database's clock
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
       left(smsretry.numberless(c.sms_consent_source), 200) as consent_source,
       smsretry.suppressed_since(smsretry.number_key(q.business_id, c.phone)) as suppressed_since,
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
                 from public.sms_send_attempts a where a.retry_id = q.id or a.id = q.attempt_id), '[]') as history,
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
left join public.send_logs l on l.id = q.send_log_id;

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
--   part: clock (oldest: what the database's clock says) · scheduled (no texts yet; name: waiting, held or late; told: one
--   that is held, by its id) · queue (name: a state) · waiting (why, as a category) · held (what for, a line a business) · sent, by outcome, in the last
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
    (select 'scheduled', p.name, null::uuid, count(*), min(p.due), min(p.due) filter (where p.due > v_now),
            min(p.id::text) filter (where p.name = 'held')
     from (
         select s.id, case when s.held_since is not null or h.scheduled_id is not null then 'held'
                           when s.scheduled_for <= v_now then 'late' else 'waiting' end as name,
                -- The application may have written a time that no calendar has.
                case when s.scheduled_for between '2000-01-01 00:00+00' and '2100-01-01 00:00+00' then s.scheduled_for end as due
         from public.scheduled_sends s
         left join smsretry.held_sends h on h.scheduled_id = s.id
         where s.status = 'scheduled') p
     group by p.name order by p.name)
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
    from public.scheduled_sends s
    where s.status = 'scheduled' and s.held_since is null and s.scheduled_for <= v_since
      and not exists (select 1 from smsretry.held_sends h where h.scheduled_id = s.id);
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
    delete from smsretry.held_sends h -- of scheduled sends that somebody deleted, or ended past our trigger
    where not exists (select 1 from public.scheduled_sends s where s.id = h.scheduled_id and s.status = 'scheduled');
    return next;
end
$$;

revoke all on function public.prune_sms_history from public, anon, authenticated;
grant execute on function public.prune_sms_history to service_role;

-- ======== schemas/91_describe_sms_tables.sql ========
-- What the catalog says of the five tables that smsretry shares with the application, for `smsretry migrate` before it
-- changes anything and for `smsretry doctor`. What must be so is in smsretry/adapters/supabase/shapes.py. Reads only.
--   kind: table (type: its relkind)
--     | column (filled: it has a default, or writes itself; definition: generated, an enum's labels, or the default)
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
                else coalesce((select 'enum ' || string_agg(quote_literal(e.enumlabel), ', ' order by e.enumsortorder)
                               from pg_enum e where e.enumtypid = a.atttypid),
                              'default ' || pg_get_expr(d.adbin, d.adrelid)) end
    from shared s
    join pg_attribute a on a.attrelid = s.id and a.attnum > 0 and not a.attisdropped
    left join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
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
      and not exists (select 1 from smsretry.earlier_doubt(l.id, l.business_id) d where d.attempt_id is not null)
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
-- Then a scheduled send is planned and queued. If that fails a second row says so: ok, because no other text depends on it.
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
            exit;
        end if;
    end loop;
    ok := coalesce(ok, true);
    return next;
    if not ok then
        return;
    end if;

    begin
        v_step := 'making its send log';
        v_log_id := smsretry.sample_text();
        select * into v_log from public.send_logs l where l.id = v_log_id;
        perform smsretry.make_send_log(
            gen_random_uuid(), coalesce(v_log.business_id, gen_random_uuid()), coalesce(v_log.customer_id, gen_random_uuid()),
            'Rehearsal of a scheduled send', smsretry.clock());
        if v_log.id is null then
            raise exception 'there is nobody to plan it for' using errcode = 'SR000';
        end if;
        v_step := 'schedule_sms';
        select s.scheduled_id into v_retry_id
        from public.schedule_sms(
            v_log.business_id, v_log.customer_id, 'Rehearsal of a scheduled send', smsretry.clock()) s;
        v_step := 'queue_scheduled_sms';
        select q.result || coalesce(': ' || q.why, '') into v_said
        from public.scheduled_sends s cross join lateral smsretry.queue_scheduled(s, smsretry.clock()) q
        where s.id = v_retry_id;
        if v_said is distinct from 'queued' then
            raise exception 'it answered %', v_said using errcode = 'SR500';
        end if;
        v_step := null;
        raise exception 'rolled back' using errcode = 'SR000';
    exception when others then
        get stacked diagnostics v_state = returned_sqlstate, v_message = message_text;
    end;
    -- Another text of the same customer may break a rule of the application's that none breaks alone. A customer who is made
    -- up breaks foreign keys, and whatever triggers ask; then only what any row would break is told.
    if v_step is not null and v_state not in ('SR000', '55P03', '40P01', '23505')
        and (v_log.id is not null or v_state in ('23502', '23514', '428C9')) then
        subject := 'rehearsal of a scheduled send';
        advice := 'fails: ' || v_step || ' (' || v_state || '): ' || left(v_message, 300) || case v_step
            when 'schedule_sms' then '. What the application inserts by itself is queued; for the call, give what is named a default'
            else '. Until that is mended, scheduled sends are held and become no texts: give what is named a default, or look '
                || 'at the rules and triggers of send_logs and scheduled_sends' end;
        return next;
    end if;
end
$$;

revoke all on function public.try_sms_retry_queue from public, anon, authenticated;
grant execute on function public.try_sms_retry_queue to service_role;

-- ======== PostgREST learns of the change at once ========
notify pgrst, 'reload schema';
