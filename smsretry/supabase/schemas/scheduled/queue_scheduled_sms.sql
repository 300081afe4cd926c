-- Queue the scheduled sends that are due within `ahead` (null: now), limit_count at most (smsretry.rows_of_claim).
-- Businesses take turns, the oldest of each first. Each is a subtransaction of its own: send log, queue row and status, or
-- none of them. May be repeated. Sends that are held are passed over until their next look.
--   result: queued | cancelled | failed (why) | held (why: what a person can mend) | later (its business is locked now)
-- life: how long a text is of use from its time on if it does not say so, and how long it may be held; null: the claim says.
create or replace function public.queue_scheduled_sms(
    limit_count integer default null, ahead interval default null, life interval default null
)
returns table (scheduled_id uuid, business_id uuid, customer_id uuid, result text, why text, retry_id uuid, why_code text)
language plpgsql security invoker set search_path = pg_catalog, pg_temp
-- If a long transaction holds the business locked, its texts wait, and not the others.
set lock_timeout = '1s' set statement_timeout = '8s' as $$ -- statement_timeout: as claim_due_sms_retries
declare
    v_now constant timestamptz := smsretry.clock();
    v_limit constant integer := smsretry.rows_of_claim(limit_count);
    v_until constant timestamptz := v_now + least(greatest(coalesce(ahead, interval '0'), interval '0'), interval '1 hour');
    v_latest constant timestamptz := clock_timestamp() + interval '3 seconds';
    v_turn record;
    v_id uuid;
    v_taken integer := 0;
    v_served uuid;
    v_send public.scheduled_sends;
    v_made record;
    v_began timestamptz;
    v_busy uuid[] := '{}';
    v_slow uuid[] := '{}';
begin
    select * into v_turn from smsretry.in_turn('scheduled', v_until, v_limit);
    foreach v_id in array smsretry.work_in_turn('scheduled', v_turn.businesses, v_turn.each, v_limit, v_until) loop
        v_began := clock_timestamp();
        exit when v_taken >= v_limit or v_began > v_latest; -- the next call takes the rest
        -- By its id alone: see smsretry.claim_in_turn.
        select * into v_send from public.scheduled_sends s where s.id = v_id for update skip locked;
        continue when (v_send.status = 'scheduled' and coalesce(v_send.look_at, v_send.scheduled_for) <= v_until) is not true
            or v_send.business_id = any (v_slow)
            or exists (select 1 from smsretry.set_apart a where a.business_id = v_send.business_id and a.retry_at > v_now);
        v_taken := v_taken + 1;
        v_served := v_send.business_id;
        select * into v_made from smsretry.make_text(v_send, life, v_send.business_id = any (v_busy), v_until, v_now);
        if v_made.state in ('55P03', '40P01', '40001') then
            v_busy := v_busy || v_send.business_id;
        end if;
        if v_made.state = '57014'
            or v_made.state is distinct from '55P03' and smsretry.took_long(v_began) then
            -- A trigger is slow for this business: its other sends come later.
            v_slow := v_slow || v_send.business_id;
            perform smsretry.set_business_apart(v_send.business_id, v_began, v_made.state, v_now);
            exit when v_made.state = '57014'; -- the time is over and is not counted again
        end if;
        return query
        select v_send.id, v_send.business_id, v_send.customer_id, v_made.result, v_made.why, v_made.retry_id, v_made.why_code;
    end loop;
    perform smsretry.end_turn(
        'scheduled', v_turn.place, v_turn.businesses, v_turn.passed, v_served, v_taken = v_limit);
end
$$;
