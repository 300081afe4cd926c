-- Make the texts of scheduled sends whose time comes within `ahead`, so that they wait in the queue when it comes. At most
-- limit_count of them (500 at the most), business by business in turns, which go on where the last call ended, and each one's
-- oldest first. Each is one transaction's work and a subtransaction of its own: send log, queue row and status, or none of
-- them. May be repeated. Those that are held and cannot be changed are passed over until they are looked at again
-- (smsretry.held_sends).
--   result: queued | cancelled | failed (why says the reason) | held (waits for what a person can mend; why says what)
--     | later (something of its business is locked at this moment)
-- life: how long a text is of use from its time on if it says nothing else, and how long it may be held.
create or replace function public.queue_scheduled_sms(
    limit_count integer default 200,
    ahead interval default interval '2 minutes',
    life interval default interval '48 hours'
)
returns table (scheduled_id uuid, business_id uuid, customer_id uuid, result text, why text, retry_id uuid, why_code text)
language plpgsql security invoker set search_path = pg_catalog, pg_temp
-- Somebody else's long transaction may hold the business locked. Then its texts wait, and not the others.
set lock_timeout = '1s' set statement_timeout = '8s' as $$ -- statement_timeout: as claim_due_sms_retries
#variable_conflict use_column
declare
    v_now constant timestamptz := smsretry.clock();
    v_limit constant integer := least(greatest(coalesce(limit_count, 200), 0), 500);
    v_until constant timestamptz := v_now + least(greatest(coalesce(ahead, interval '2 minutes'), interval '0'), interval '1 hour');
    v_turn record;
    v_candidates uuid[];
    v_id uuid;
    v_taken integer := 0;
    v_served uuid;
    v_send public.scheduled_sends;
    v_latest constant timestamptz := clock_timestamp() + interval '3 seconds';
    v_began timestamptz;
    v_busy uuid[] := '{}';
    v_slow uuid[] := '{}';
    v_state text;
    v_table text;
    v_column text;
    v_rule text;
    v_message text;
begin
    select * into v_turn from smsretry.in_turn('scheduled', v_until, v_limit);
    v_candidates := smsretry.others_in_turn('scheduled', v_turn.businesses, v_turn.each, v_until);
    if cardinality(v_candidates) < v_limit and v_turn.each < v_limit then -- a few of them have most of it
        v_candidates := smsretry.others_in_turn('scheduled', v_turn.businesses, v_limit, v_until);
    end if;
    foreach v_id in array coalesce(v_candidates, '{}') loop
        v_began := clock_timestamp();
        exit when v_taken >= v_limit or v_began > v_latest; -- the next call takes the rest
        -- Each by its id alone, and what it is asked then: see smsretry.lock_in_turn.
        select * into v_send from public.scheduled_sends s where s.id = v_id for update skip locked;
        if (v_send.status = 'scheduled' and coalesce(v_send.look_at, v_send.scheduled_for) <= v_until) is not true then
            continue;
        end if;
        continue when v_send.business_id = any (v_slow)
            or exists (select 1 from smsretry.set_apart a where a.business_id = v_send.business_id and a.retry_at > v_now);
        v_taken := v_taken + 1;
        v_served := v_send.business_id;
        scheduled_id := v_send.id;
        business_id := v_send.business_id;
        customer_id := v_send.customer_id;
        retry_id := null;
        if exists (select 1 from smsretry.held_sends h where h.scheduled_id = v_send.id and h.expired) then
            select k.result, k.why, k.why_code into result, why, why_code
            from smsretry.keep_scheduled(v_send, 'It was held for too long', life, v_until + interval '13 minutes', v_now) k;
            return next;
            continue;
        end if;
        v_state := case when v_send.business_id = any (v_busy) then '55P03' end;
        if v_state is null then
            begin
                select q.result, q.why, q.retry_id, q.why_code into result, why, retry_id, why_code
                from smsretry.queue_scheduled(v_send, v_now, life) q;
            exception when query_canceled or others then
                get stacked diagnostics v_state = returned_sqlstate, v_table = table_name, v_column = column_name,
                    v_rule = constraint_name, v_message = message_text;
            end;
        end if;
        if v_state = '57014' or (v_state is distinct from '55P03' and clock_timestamp() - v_began > interval '250 milliseconds') then
            -- A trigger of the application's is slow for this business: its others come later, and nobody waits for them.
            v_slow := v_slow || v_send.business_id;
            perform smsretry.set_business_apart(
                v_send.business_id, extract(epoch from clock_timestamp() - v_began), v_state, v_now);
            exit when v_state = '57014'; -- the time is over and is not counted again
        end if;
        if v_state in ('55P03', '40P01', '40001') then
            v_busy := v_busy || v_send.business_id;
            select k.result, k.why, k.why_code into result, why, why_code
            from smsretry.keep_scheduled(v_send, null, life, v_until + interval '30 seconds', v_now) k;
        elsif v_state is not null then
            -- No message of the database's: it may quote the row. Ours, with an SR code, hold ids only.
            select k.result, k.why, k.why_code into result, why, why_code
            from smsretry.keep_scheduled(
                v_send, 'Its text cannot be made: ' || case
                    when v_state like 'SR%' then v_message
                    else concat_ws(', ', v_state, nullif(v_table, ''), nullif(v_column, ''), nullif(v_rule, ''))
                        || '. Look at what send_logs and scheduled_sends require beyond smsretry''s columns, and at their triggers'
                end, life, v_until + interval '13 minutes', v_now) k;
        end if;
        return next;
    end loop;
    perform smsretry.end_turn(
        'scheduled', v_turn.place, v_turn.businesses, v_turn.passed, v_served, v_taken = v_limit);
end
$$;

revoke all on function public.queue_scheduled_sms from public, anon, authenticated;
grant execute on function public.queue_scheduled_sms to service_role;
