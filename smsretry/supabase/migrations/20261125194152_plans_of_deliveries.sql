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

-- ======== PostgREST learns of the change at once ========
notify pgrst, 'reload schema';
