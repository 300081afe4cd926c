-- Claim accepted messages without a final delivery status, and undelivered ones whose text awaits a
-- decision, of the 4 × as many that have waited longest; who was served longest ago goes first. A
-- failure is due at once.
--   lease: how long the claim lasts
--   without: accounts whose messages stay as they are; '': messages that name none
--   failures: this text's undelivered messages, but for excused ones
--   excused: its other messages, undelivered for what was their sender's
--   moved_on: no decision is needed: the row has not ended with this message, or another of the
--     text waits
--   may_have_arrived: another message of the text may have
--   day_ends_at: when the carriers' day turns over
create or replace function public.claim_sms_deliveries(
    limit_count integer default 1000,
    lease interval default '10 minutes',
    without text[] default '{}'
)
returns table (
    attempt_id uuid,
    asks integer,
    retry_id uuid,
    business_id uuid,
    customer_id uuid,
    send_log_id uuid,
    twilio_sid text,
    accepted_at timestamptz,
    delivery_status text,
    delivery_code integer,
    failures bigint,
    attempt_count integer,
    max_attempts integer,
    expires_at timestamptz,
    moved_on boolean,
    may_have_arrived boolean,
    claimed_at timestamptz,
    sent_account text,
    excused bigint,
    day_ends_at timestamptz
)
language plpgsql set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_custom_plan set enable_seqscan = off set enable_sort = off
set jit = off
as $$
declare
    v_now constant timestamptz := smsretry.clock();
    v_oldest record;
    v_ids uuid[];
    v_served uuid[];
begin
    if (
        claim_sms_deliveries.limit_count between 1 and 10000
        and claim_sms_deliveries.lease >= interval '0'
    ) is not true
    then
        raise exception 'limit_count must be 1 to 10000, and lease 0 or more'
            using errcode = 'SR422';
    end if;
    select
        array_agg(o.id) as ids,
        array_agg(o.business_id) as businesses
    into v_oldest
    from (
        select a.id, a.business_id
        from public.sms_send_attempts a
        where a.sent_to is null
          and a.delivery_ask_at <= v_now
          and coalesce(a.sent_account, '') <> all (claim_sms_deliveries.without)
        order by a.sent_to, a.delivery_ask_at
        limit 4 * claim_sms_deliveries.limit_count
    ) o;
    select
        coalesce(array_agg(t.id), '{}'),
        array_agg(t.business_id)
    into v_ids, v_served
    from (
        select a.id, a.business_id
        from unnest(
            smsretry.in_turn('deliveries', v_oldest.ids, v_oldest.businesses)
        ) with ordinality as u (id, place)
        join public.sms_send_attempts a on a.id = u.id
        where a.delivery_ask_at <= v_now
        order by u.place
        limit claim_sms_deliveries.limit_count
        for update of a skip locked
    ) t;
    if cardinality(v_ids) < cardinality(v_oldest.ids) then
        perform smsretry.note_served('deliveries', v_served, v_now);
    end if;
    return query
    with taken as (
        update public.sms_send_attempts a
        set
            delivery_ask_at = v_now + claim_sms_deliveries.lease,
            delivery_asks = a.delivery_asks + 1
        where a.id = any (v_ids)
        returning a.*
    )
    select
        t.id,
        t.delivery_asks,
        q.id,
        q.business_id,
        q.customer_id,
        q.send_log_id,
        t.twilio_sid,
        t.finished_at,
        t.delivery_status::text,
        t.delivery_code,
        counts.failures,
        greatest(q.attempt_count, t.attempt_number),
        q.max_attempts,
        q.expires_at,
        q.status <> 'completed'
            or smsretry.found_sid(
                l.provider_message_id
            ) is distinct from t.twilio_sid
            or exists (
                select from public.sms_retry_queue o
                where o.send_log_id = q.send_log_id
                  and o.status in ('pending', 'processing')
            ),
        smsretry.may_have_arrived(q.send_log_id, t.id),
        v_now,
        t.sent_account,
        counts.excused,
        smsretry.carriers_midnight(v_now)
    from unnest(v_ids) with ordinality as u (id, turn)
    join taken t on t.id = u.id
    join public.sms_retry_queue q on q.id = t.retry_id
    left join public.send_logs l on l.id = q.send_log_id
    cross join lateral (
        select
            count(*) filter (
                where a.id = t.id
                  or smsretry.is_lost(a.delivery_status)
                      and not a.delivery_excused
            ) as failures,
            count(*) filter (
                where a.id <> t.id and a.delivery_excused
            ) as excused
        from public.sms_send_attempts a -- an array, so that an index finds them without statistics
        where a.retry_id = any (
            array(
                select o.id
                from public.sms_retry_queue o
                where o.send_log_id = q.send_log_id
            )
        )
    ) counts
    order by u.turn;
end
$$;
