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
        -- Whom an owner lets call it: schemas/rights/public_functions.sql grants it to them again.
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
        -- Whom an owner lets call it: schemas/rights/public_functions.sql grants it to them again.
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
        -- Whom an owner lets call it: schemas/rights/public_functions.sql grants it to them again.
        perform set_config('smsretry.granted_claim_suspect_sms_retry', array_agg(distinct g.grantee::regrole)::text, false)
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
        -- Whom an owner lets call it: schemas/rights/public_functions.sql grants it to them again.
        perform set_config('smsretry.granted_claim_doubtful_sms_retries', array_agg(distinct g.grantee::regrole)::text, false)
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

-- ======== drop public.preview_sms_retries ========
do $$
declare
    version regprocedure;
begin
    for version in
        select p.oid::regprocedure from pg_catalog.pg_proc p
        where p.pronamespace = 'public'::regnamespace and p.proname = 'preview_sms_retries'
    loop
        -- Whom an owner lets call it: schemas/rights/public_functions.sql grants it to them again.
        perform set_config('smsretry.granted_preview_sms_retries', array_agg(distinct g.grantee::regrole)::text, false)
        from pg_catalog.pg_proc p cross join pg_catalog.aclexplode(p.proacl) g
        where p.oid = version and g.grantee not in (0, p.proowner)
          and g.grantee::regrole::text not in ('anon', 'authenticated', 'service_role')
        having count(*) > 0;
        execute format('drop function %s', version);
    end loop;
end
$$;

-- ======== by hand: public.scheduled_sends ========
-- Nothing that is there changes: the file below adds an index.

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
create index if not exists scheduled_sends_waiting
    on public.scheduled_sends (customer_id) where status = 'scheduled';

grant select, insert, update on public.scheduled_sends to service_role;

-- ======== drop smsretry.claimed_retry ========
drop view if exists smsretry.claimed_retry;

-- ======== schemas/views/claimed_retry.sql ========
-- What a claim returns to its worker: a row with everything that decides about it. Row level security is the caller's.
create or replace view smsretry.claimed_retry with (security_invoker = true) as
select q.id, q.business_id, q.send_log_id, q.customer_id, q.status, q.attempt_count, q.max_attempts,
       q.scheduled_for, q.last_attempted_at, left(q.last_error, smsretry.longest_reason()) as last_error, q.reason, q.created_at, q.updated_at,
       q.claim_no, q.claimed_at, q.expires_at, q.held_since is not null as held, left(q.why, smsretry.longest_reason()) as why,
       q.attempt_id, q.in_doubt_since, q.reconcile_count, q.rate_limit_count, q.account_refusal_count, q.message_class,
       a.begun_at as attempt_begun_at, a.sent_to, a.sent_body, a.sent_by,
       v.opened_at is not null or exists (select 1 from smsretry.circuit o where o.sender = '') as circuit_open,
       array(select s.state from smsretry.stopped_states s order by s.state) as stopped_states,
       -- Values are cut: a body of megabytes would cost the other rows of the claim.
       l.id is not null as send_log_found, left(l.subject, smsretry.longest_body() + 1) as body, left(l.channel::text, 40) as channel,
       smsretry.is_sent(l.provider_message_id, l.status::text) as log_says_sent,
       smsretry.found_sid(l.provider_message_id) as known_sid,
       c.id is not null as customer_found, left(c.phone, 40) as phone, left(c.timezone, 100) as timezone,
       -- The application's own processor goes by this; our workers check again at begin.
       case when q.claimed_by_application and smsretry.suppressed_since(smsretry.number_key(q.business_id, c.phone)) is not null
            then 'opted_out' else left(c.sms_consent_status::text, 40) end as sms_consent_status,
       left(b.timezone, 100) as business_timezone, left(b.sms_hours, 1000) as business_hours,
       smsretry.decided_by(c.phone, c.timezone, b.timezone, b.sms_hours) as decided_by,
       coalesce(u.sids, '{}') as lost_sids,
       -- Since when it might have gone out: not before it was queued, unless it was planned.
       case when q.scheduled_for < q.created_at
                 and not exists (select 1 from public.scheduled_sends s
                                 where s.id = q.send_log_id and s.business_id is not distinct from q.business_id)
            then q.created_at else q.scheduled_for end as due_since,
       -- For a row in doubt: bodies of other sends to that number in doubt or under way, the nearest in time first. A message
       -- with those words is theirs.
       case when q.in_doubt_since is null then '{}' else array(
           select o.sent_body from public.sms_send_attempts o
           where o.sent_to = a.sent_to and o.id <> a.id and o.sent_body <> coalesce(a.sent_body, '')
           group by o.sent_body order by min(abs(extract(epoch from o.begun_at - a.begun_at))), o.sent_body
           limit 20) end as other_bodies,
       v.opened_at as circuit_opened_at,
       t.opened_at as business_circuit_opened_at, t.tried_at as business_circuit_tried_at,
       exists (select 1 from public.sms_retry_queue o
               where o.status = 'pending' and o.recover_count >= smsretry.suspect_after() and o.scheduled_for <= smsretry.clock()) as suspects_wait,
       -- Only preview_sms_retries fills these in.
       null::text as refused, null::text as doubted, null::timestamptz[] as texts_at,
       smsretry.longest_body() as longest_body, smsretry.masked(left(c.phone, 40)) as number,
       q.why_code, null::text as refused_code,
       -- The claims of due texts set it.
       true as others_wait,
       -- Null: the sender of the runner's environment.
       v.sender, a.sent_account,
       -- Where lost_sids are, in the same order.
       coalesce(u.accounts, '{}') as lost_accounts,
       (select o.opened_at from smsretry.circuit o where o.sender = '') as provider_circuit_opened_at,
       -- As others_wait, of those with the same sender.
       true as sender_others_wait
from public.sms_retry_queue q
left join public.sms_send_attempts a on a.id = q.attempt_id
-- Consent is given to one business. No equality, here and above: without statistics its index might be walked, which has all of
-- its history.
left join public.send_logs l on l.id = q.send_log_id and l.business_id is not distinct from q.business_id
left join public.customers c on c.id = q.customer_id and c.business_id is not distinct from q.business_id
left join public.businesses b on b.id = q.business_id
left join lateral smsretry.sender_now(q.business_id, q.message_class) v on true
left join lateral (
    select min(o.opened_at) as opened_at, max(o.tried_at) as tried_at from smsretry.business_circuits o
    where o.business_id = q.business_id and smsretry.same_circuit(o.sender, coalesce(v.sent_by, '-'), v.sent_by is not null)) t on true
-- Undelivered messages of this text, newest first: the provider is asked once more before another one leaves. Not about those
-- that no carrier took from their sender: they cannot arrive, and that sender's account may be closed by now. A text with one row
-- and no error has none.
left join lateral (
    select array_agg(m.twilio_sid order by m.begun_at desc) as sids,
           array_agg(coalesce(m.sent_account, '') order by m.begun_at desc) as accounts
    from public.sms_send_attempts m
    where (q.last_error is not null
           or cardinality(array(select o.id from public.sms_retry_queue o where o.send_log_id = q.send_log_id)) > 1)
      -- An array, so that an index finds them without statistics.
      and m.retry_id = any (array(select o.id from public.sms_retry_queue o where o.send_log_id = q.send_log_id))
      and smsretry.is_lost(m.delivery_status) and not m.delivery_excused) u on true;

grant select on smsretry.claimed_retry to service_role;

-- ======== drop smsretry.scheduled_claim ========
drop view if exists smsretry.scheduled_claim;

-- ======== schemas/views/scheduled_claim.sql ========
-- A scheduled send as its claim will be once it is queued, for preview_sms_retries. Columns: smsretry.claimed_retry.
create or replace view smsretry.scheduled_claim with (security_invoker = true) as
select s.id, s.business_id, s.id as send_log_id, s.customer_id, 'pending'::text as status, 0 as attempt_count, 3 as max_attempts,
       s.scheduled_for, null::timestamptz as last_attempted_at, null::text as last_error, null::text as reason,
       s.created_at, s.updated_at, 0::bigint as claim_no, null::timestamptz as claimed_at, s.not_after as expires_at,
       s.held_since is not null or h.scheduled_id is not null as held, coalesce(h.why, s.why) as why, null::uuid as attempt_id, null::timestamptz as in_doubt_since,
       0 as reconcile_count, 0 as rate_limit_count, 0 as account_refusal_count, s.message_class,
       null::timestamptz as attempt_begun_at, null::text as sent_to, null::text as sent_body, null::text as sent_by,
       v.opened_at is not null or exists (select 1 from smsretry.circuit o where o.sender = '') as circuit_open,
       array(select t.state from smsretry.stopped_states t order by t.state) as stopped_states,
       true as send_log_found, left(s.body, smsretry.longest_body() + 1) as body, 'sms'::text as channel, false as log_says_sent,
       null::text as known_sid,
       c.id is not null as customer_found, left(c.phone, 40) as phone, left(c.timezone, 100) as timezone,
       left(c.sms_consent_status::text, 40) as sms_consent_status,
       left(b.timezone, 100) as business_timezone, left(b.sms_hours, 1000) as business_hours,
       smsretry.decided_by(c.phone, c.timezone, b.timezone, b.sms_hours) as decided_by, array[]::text[] as lost_sids,
       s.scheduled_for as due_since,
       array[]::text[] as other_bodies,
       v.opened_at as circuit_opened_at,
       null::timestamptz as business_circuit_opened_at, null::timestamptz as business_circuit_tried_at,
       false as suspects_wait,
       null::text as refused, null::text as doubted, null::timestamptz[] as texts_at,
       smsretry.longest_body() as longest_body, smsretry.masked(left(c.phone, 40)) as number,
       case when h.scheduled_id is not null then 'row_refused' else s.why_code end as why_code, null::text as refused_code,
       true as others_wait, v.sender, null::text as sent_account, array[]::text[] as lost_accounts,
       (select o.opened_at from smsretry.circuit o where o.sender = '') as provider_circuit_opened_at,
       true as sender_others_wait
from public.scheduled_sends s
left join smsretry.held_sends h on h.scheduled_id = s.id
left join public.customers c on c.id = s.customer_id and c.business_id is not distinct from s.business_id
left join public.businesses b on b.id = s.business_id
left join lateral smsretry.sender_now(s.business_id, s.message_class) v on true
where s.status = 'scheduled';

grant select on smsretry.scheduled_claim to service_role;

-- ======== schemas/turns/end_turns_of_senders.sql ========
-- A claim has ended: each of these senders goes on behind the business that was served last. Never waits.
--   last: smsretry.claim_by_sender; sender: the environment's
create or replace function smsretry.end_turns_of_senders(last jsonb, sender text)
returns void language sql set search_path = pg_catalog, pg_temp
-- Each sender by its key: a join of another kind would read all senders.
set enable_hashjoin = off set enable_mergejoin = off as $$
    update smsretry.sender_time t
    set after = l.business
    from (
        select coalesce(s.sent_by, end_turns_of_senders.sender) as sent_by, e.value::uuid as business
        from jsonb_each_text(end_turns_of_senders.last) e
        left join smsretry.senders s on s.id = e.key::uuid
    ) l
    where t.sender = l.sent_by and t.after is distinct from l.business
      and t.sender in (
          select f.sender from smsretry.sender_time f where f.sender = l.sent_by for update skip locked)
$$;

-- ======== schemas/worker/claim_due_sms_retries.sql ========
-- For the application's own processor: claim up to limit_count due rows (smsretry.rows_of_claim), business by business in turns
-- (smsretry.in_turn). Within a business, transactional texts come first, then those whose window closes within the hour.
-- Neither doubtful nor suspect rows. The processor begins nothing: if it dies, its claim counts as a send that may have been made.
-- others_wait: a business has a text due and none in this claim.
-- begins: the caller is a worker of version 1.0, which begins each send with begin_sms_attempt, but knows one sender alone. It
-- gets no text of a business that has a sender of its own.
create or replace function public.claim_due_sms_retries(limit_count integer default null, begins boolean default false)
returns setof smsretry.claimed_retry
language plpgsql security invoker set search_path = pg_catalog, pg_temp
-- As on Supabase: a claim whose caller has given up would keep its rows.
set statement_timeout = '8s' as $$
declare
    v_now constant timestamptz := smsretry.clock();
    v_turn record;
    v_claims smsretry.claimed_retry[];
    v_claim smsretry.claimed_retry;
    v_others_wait boolean;
begin
    if begins then
        return query select (jsonb_populate_record(null::smsretry.claimed_retry, t)).*
        from smsretry.claim_texts(limit_count, null, null, '{}', false) t;
        return;
    end if;
    select * into v_turn
    from smsretry.claim_in_turn('texts', smsretry.rows_of_claim(limit_count), v_now);
    v_claims := array(select t from smsretry.take(v_turn.ids, v_now, true) t);
    v_others_wait := not v_turn.complete or exists (
        select from unnest(v_turn.businesses) b where b not in (select c.business_id from unnest(v_claims) c));
    foreach v_claim in array v_claims loop
        v_claim.others_wait := v_others_wait;
        v_claim.sender_others_wait := v_others_wait;
        return next v_claim;
    end loop;
end
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

-- ======== schemas/worker/claim_suspect_sms_retry.sql ========
-- Claim one due suspect row alone, because it may kill its worker, or none. The one whose claims died least often goes
-- first; one that cannot be claimed is passed over. every_account: claim_doubtful_sms_retries.
create or replace function public.claim_suspect_sms_retry(every_account boolean default false)
returns setof smsretry.claimed_retry
language plpgsql security invoker set search_path = pg_catalog, pg_temp
set statement_timeout = '8s' as $$ -- as claim_due_sms_retries
declare
    v_now constant timestamptz := smsretry.clock();
    v_until constant timestamptz := clock_timestamp() + interval '1 second';
    v_id uuid;
begin
    for v_id in
        select q.id from public.sms_retry_queue q
        where q.status = 'pending' and q.recover_count >= smsretry.suspect_after() and q.scheduled_for <= v_now
        order by q.recover_count, q.scheduled_for
        limit 50
        for update skip locked
    loop
        continue when every_account is not true and smsretry.left_elsewhere(v_id);
        return query select * from smsretry.take(array[v_id], v_now);
        exit when found or clock_timestamp() > v_until;
    end loop;
end
$$;

-- ======== schemas/worker/take.sql ========
-- Claim these rows, which the caller has found pending and locked, and return those that could be claimed. by_application:
-- smsretry.take_row. If a trigger of the application's is slow for one business, or refuses a row, that row stays pending,
-- its business is set apart, and the others are claimed. What there was no time for stays pending, too.
create or replace function smsretry.take(ids uuid[], at timestamptz, by_application boolean default false)
returns setof smsretry.claimed_retry
language plpgsql set search_path = pg_catalog, pg_temp
set lock_timeout = '500ms' -- for what a trigger waits for
-- Without statistics a plan would read whole tables.
set enable_hashjoin = off set enable_mergejoin = off set jit = off as $$
declare
    v_until constant timestamptz := clock_timestamp() + interval '1 second';
    v_order uuid[];
    v_owners uuid[];
    v_apart uuid[];
    v_began timestamptz;
    v_took uuid[] := '{}';
    v_whose uuid[] := '{}';
    v_skip uuid[] := '{}';
    v_tried integer := 0;
    v_state text;
begin
    -- Of a business that is set apart, one row after the others, and another one each time: not all may be slow.
    select array_agg(o.id order by o.apart, o.place), array_agg(o.business_id order by o.apart, o.place),
           array_agg(o.business_id) filter (where o.apart)
    into v_order, v_owners, v_apart
    from (
        select q.id, q.business_id, i.place, s.business_id is not null as apart, s.retry_at,
               row_number() over (partition by q.business_id order by md5(q.id::text || take.at::text)) as nth
        from unnest(take.ids) with ordinality as i (id, place)
        join public.sms_retry_queue q on q.id = i.id
        left join smsretry.set_apart s on s.business_id = q.business_id
    ) o
    where not o.apart or (o.nth = 1 and o.retry_at <= take.at);

    begin
        for n in 1 .. coalesce(cardinality(v_order), 0) loop
            v_began := clock_timestamp();
            exit when v_began > v_until;
            continue when v_owners[n] = any (v_skip);
            v_tried := n;
            if smsretry.take_row(v_order[n], take.at, take.by_application) then
                v_took := v_took || v_order[n];
                v_whose := v_whose || v_owners[n];
            end if;
            if smsretry.took_long(v_began) then
                v_skip := v_skip || v_owners[n];
                perform smsretry.set_business_apart(v_owners[n], v_began, null, take.at);
            elsif v_owners[n] = any (v_apart) then
                delete from smsretry.set_apart s where s.business_id = v_owners[n];
            end if;
        end loop;
        set constraints all immediate; -- what is only asked at the end would undo all of them
    exception
        when query_canceled then
            v_state := sqlstate;
        when others then
            v_state := sqlstate;
    end;
    if v_state = '57014' then
        -- The statement timeout does not start again: only what was quick is repeated.
        perform smsretry.set_business_apart(v_owners[v_tried], v_began, v_state, take.at);
        v_took := smsretry.take_each(v_took, v_whose, take.at, take.by_application);
    elsif v_state is not null then
        v_took := smsretry.take_each(v_order, v_owners, take.at, take.by_application);
    end if;
    -- Planned each time: PostgreSQL 15 would keep a plan that walks a whole index, if the tables were small when it was made.
    return query execute
    'select r.* from smsretry.claimed_retry r where r.id = any ($1) order by r.scheduled_for, r.id' using v_took;
end
$$;

-- ======== schemas/worker/take_row.sql ========
-- Claim one row, which the caller has found pending and locked; false: it was ended or put in doubt instead. Its status is not
-- asked for again: without statistics the planner would walk a partial index. A row in doubt keeps its attempt. by_application:
-- the claimer sends without a begin, so a text that a begin would call sent or put in doubt comes to that here.
create or replace function smsretry.take_row(id uuid, at timestamptz, by_application boolean)
returns boolean language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    v_row public.sms_retry_queue;
    v_refused record;
begin
    if take_row.by_application then
        select * into v_row from public.sms_retry_queue q where q.id = take_row.id;
        select r.* into v_refused
        from public.send_logs l, smsretry.refusal(true, null, null) r
        where l.id = v_row.send_log_id and l.business_id is not distinct from v_row.business_id
          and smsretry.is_sent(l.provider_message_id, l.status::text);
        if found then
            perform smsretry.close_row(v_row, 'cancelled', v_refused.why, v_refused.why_code, null, take_row.at);
            return false;
        end if;
        if exists (select 1 from smsretry.restores) and smsretry.put_in_doubt(v_row, take_row.at) is not null then
            return false;
        end if;
    end if;
    update public.sms_retry_queue q
    set status = 'processing', claim_no = q.claim_no + 1, claimed_at = take_row.at, begun_at = null,
        claimed_by_application = take_row.by_application,
        attempt_id = case when q.in_doubt_since is not null then q.attempt_id end, updated_at = take_row.at
    where q.id = take_row.id;
    return true;
end
$$;

-- ======== schemas/doubt/claim_doubtful_sms_retries.sql ========
-- Claim up to limit_count rows in doubt (smsretry.rows_of_claim) whose next look for evidence is due. Businesses take turns,
-- the longest waiting row of each first. Suspect rows are left to claim_suspect_sms_retry.
-- every_account: the caller looks in the account that an attempt names. Workers of version 1.0 do not say so, and get no row
-- whose message may have left from another than theirs.
create or replace function public.claim_doubtful_sms_retries(
    limit_count integer default null, every_account boolean default false
)
returns setof smsretry.claimed_retry
language plpgsql security invoker set search_path = pg_catalog, pg_temp
set statement_timeout = '8s' as $$ -- as claim_due_sms_retries
declare
    v_now constant timestamptz := smsretry.clock();
    v_ids uuid[] := (smsretry.claim_in_turn('doubtful', smsretry.rows_of_claim(limit_count), v_now)).ids;
begin
    if every_account is not true then
        v_ids := array(select i.id from unnest(v_ids) i (id) where not smsretry.left_elsewhere(i.id));
    end if;
    return query select * from smsretry.take(v_ids, v_now);
end
$$;

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
                 and not exists (select 1 from public.scheduled_sends s where s.id = q.send_log_id and s.business_id is not distinct from q.business_id)
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

-- ======== schemas/desk/explain_sms.sql ========
-- For a person: what happened to a text, why, and what comes next; newest first. Found by exactly one of row, send log,
-- customer, number, or last digits (three at least) at a business. A scheduled send without a text is found by its own id or
-- its customer. Columns: smsretry.text_on_record.
create or replace function public.explain_sms(
    retry_id uuid default null, send_log_id uuid default null, customer_id uuid default null, phone text default null,
    business_id uuid default null, last_digits text default null, row_limit integer default 20
)
returns setof smsretry.text_on_record
language plpgsql stable security invoker set search_path = pg_catalog, pg_temp as $$
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
language plpgsql stable security invoker set search_path = pg_catalog, pg_temp as $$
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

-- ======== schemas/desk/preview_sms_retries.sql ========
-- Waiting texts and scheduled sends as a claim would return them now, without claiming. Either those due by `until`, in
-- pages (after the due time and id of the last row), or these rows by id. Each with what its begin would find now:
--   refused, refused_code: smsretry.refusal · doubted: smsretry.earlier_doubt
--   texts_at: when the texts that count against a cap reached the number, within cap_window, newest first
create or replace function public.preview_sms_retries(
    until timestamptz default null, after_due timestamptz default null, after_id uuid default null,
    retry_ids uuid[] default null, row_limit integer default null, cap_window interval default null
)
returns setof smsretry.claimed_retry
language plpgsql stable security invoker set search_path = pg_catalog, pg_temp as $$
declare
    v_limit constant integer := greatest(smsretry.rows_of_claim(coalesce(preview_sms_retries.row_limit, smsretry.largest_claim())), 1);
    v_ids uuid[];
    v_claim smsretry.claimed_retry;
    v_at timestamptz;
begin
    if num_nonnulls(preview_sms_retries.until, preview_sms_retries.retry_ids) <> 1 then
        raise exception 'until or retry_ids must be given: which texts to preview' using errcode = 'SR422';
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
        select r.why, r.why_code into v_claim.refused, v_claim.refused_code
        from smsretry.refusal(
            v_claim.log_says_sent, v_claim.sms_consent_status, smsretry.number_key(v_claim.business_id, v_claim.phone)) r;
        if v_claim.claim_no > 0 then
            select d.why into v_claim.doubted from smsretry.earlier_doubt(v_claim.send_log_id, v_claim.business_id) d;
        end if;
        v_claim.texts_at := '{}';
        while preview_sms_retries.cap_window is not null and cardinality(v_claim.texts_at) < 20 loop
            v_at := smsretry.cap_reached_at(
                v_claim.business_id, v_claim.phone, cardinality(v_claim.texts_at) + 1,
                v_claim.claimed_at - preview_sms_retries.cap_window);
            exit when v_at is null;
            v_claim.texts_at := v_claim.texts_at || v_at;
        end loop;
        return next v_claim;
    end loop;
end
$$;

-- ======== schemas/desk/status_of_senders.sql ========
-- The businesses' own senders: the lines senders (how many send, are paused, stopped, or have used their day) and sender (one
-- each for those that keep texts waiting or do not send; texts: how many wait) of sms_status.
create or replace function smsretry.status_of_senders(at timestamptz)
returns table (part text, name text, business_id uuid, texts bigint, oldest timestamptz, next_at timestamptz, told text, why_code text)
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
declare
    -- Held, and not only by the pause of their sender: few, from an index. `at is not null`, because a statement without a variable
    -- is planned once, whatever plan_cache_mode says.
    v_held constant uuid[] := array(
        select distinct q.business_id from public.sms_retry_queue q
        where q.held_since is not null and status_of_senders.at is not null
          and q.status = 'pending' and q.why_code in ('no_credentials', 'account_refused'));
begin
    return query
    with states as materialized (
        select s.*, c.opened_at, c.why,
               case when s.paused_at is not null then 'paused' when c.opened_at is not null then 'stopped'
                    when s.segments_per_day is not null
                        and (smsretry.day_used(s, status_of_senders.at)).segments >= s.segments_per_day then 'spent'
                    else 'sending' end as state
        from smsretry.senders s
        left join smsretry.circuit c on c.sender = s.sent_by
    ),
    suspected as (
        select t.id from states t where t.state <> 'sending'
        union
        select b.sender_id from smsretry.business_senders b where b.business_id = any (v_held)
    ),
    waiting as materialized (
        select w.sender_id, sum(w.due + w.waiting + w.held)::bigint as texts,
               min(w.why_code) filter (where w.why_code in ('no_credentials', 'account_refused')) as why_code,
               min(w.why) filter (where w.why_code in ('no_credentials', 'account_refused')) as why
        from smsretry.texts_by_sender(array(
            select b.business_id from smsretry.business_senders b where b.sender_id in (select u.id from suspected u)), status_of_senders.at) w
        where w.sender_id is not null
        group by w.sender_id
    )
    (select 'senders', t.state, null::uuid, count(*), null::timestamptz, null::timestamptz, null::text, null::text
     from states t group by t.state order by t.state)
    union all
    (select 'sender', smsretry.shown_sender(t.sent_by), case when cardinality(smsretry.users_of(t.id)) = 1 then (smsretry.users_of(t.id))[1] end,
            coalesce(w.texts, 0), coalesce(t.paused_at, t.opened_at), case t.state when 'spent' then (smsretry.carriers_day(status_of_senders.at)).ends end,
            'account ' || t.account || ': ' || case t.state
                when 'paused' then 'paused: ' || smsretry.numberless(t.paused_because)
                when 'stopped' then 'stopped: ' || t.why
                when 'spent' then 'has used its day'
                else coalesce(w.why, 'texts wait') end,
            case t.state when 'paused' then 'sender_paused' when 'stopped' then 'sending_stopped' when 'spent' then 'day_spent'
                 else w.why_code end
     from states t
     left join waiting w on w.sender_id = t.id
     where t.state in ('paused', 'stopped') or t.state = 'spent' and w.texts > 0 or w.why_code in ('no_credentials', 'account_refused')
     order by coalesce(w.texts, 0) desc, t.id limit 50);
end
$$;

-- ======== schemas/rights/internal_functions.sql ========
-- Only the backend calls the functions in the schema smsretry.
revoke all on all functions in schema smsretry from public, anon, authenticated;
grant execute on all functions in schema smsretry to service_role;

-- Triggers fire in statements of the application's, too. They plan as our functions in public do.
do $$
declare
    version regprocedure;
begin
    for version in
        select p.oid::regprocedure from pg_catalog.pg_proc p
        where p.pronamespace = 'smsretry'::regnamespace and p.prorettype = 'trigger'::regtype
    loop
        execute format('alter function %s set random_page_cost = 0.1', version);
    end loop;
end
$$;

-- ======== schemas/rights/public_functions.sql ========
-- What holds for each of our functions in public: who may call it, and how its calls are planned.
--
-- Only the backend calls them. A Supabase project lets everybody call a new one. A function that a migration created anew
-- (smsretry.granted_…) keeps the roles of the owner's own that may call it.
--
-- PostgREST keeps its connections, and PL/pgSQL keeps on each the plans that were made when it was first called
-- (https://www.postgresql.org/docs/current/plpgsql-implementation.html#PLPGSQL-PLAN-CACHING). A plan that was made while the
-- tables were small reads them whole when a day's texts have come at once, until autovacuum comes. So calls that look rows up plan
-- as if an index were almost free, and those that read much (reads_much) plan each statement that has a variable anew. A trigger
-- of the application's that fires first in such a call is planned so, too.
do $$
declare
    version regprocedure;
    granted text;
    role regrole;
    reads_much boolean;
begin
    for version, granted, reads_much in
        select p.oid::regprocedure, current_setting('smsretry.granted_' || p.proname, true), p.proname in (
            'ask_sms_desk', 'check_sms_retries', 'check_sms_retry_setup', 'claim_sms_deliveries', 'describe_sms_tables',
            'examine_sms_retries', 'explain_sms', 'look_up_sms', 'preview_sms_retries', 'sms_senders', 'sms_status')
        from pg_catalog.pg_proc p
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
        execute format('alter function %s set %s', version, case when reads_much then 'plan_cache_mode = force_custom_plan'
                                                                 else 'random_page_cost = 0.1' end);
    end loop;
end
$$;

-- ======== PostgREST learns of the change at once ========
notify pgrst, 'reload schema';
