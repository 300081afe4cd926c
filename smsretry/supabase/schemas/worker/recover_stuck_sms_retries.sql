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
language plpgsql security invoker set search_path = pg_catalog, pg_temp
set statement_timeout = '8s' as $$ -- as claim_due_sms_retries
#variable_conflict use_column
declare
    v_now constant timestamptz := smsretry.clock();
    v_until constant timestamptz := clock_timestamp() + interval '3 seconds';
    v_began timestamptz;
    v_skip uuid[] := '{}';
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
          -- A trigger of the application's is slow for these, or refuses them: not before their time has come again.
          and not exists (select 1 from smsretry.set_apart s where s.business_id = q.business_id and s.retry_at > v_now)
        order by q.id
        limit 500
        for update skip locked
    loop
        v_began := clock_timestamp();
        exit when v_began > v_until; -- the next run takes the rest
        continue when v_stale.business_id = any (v_skip);
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
                v_stale.why_code := 'worker_died';
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
                    v_stale.why_code := 'worker_died';
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
            set constraints all immediate; -- what is only asked at the end would undo the others, too
        exception
            when query_canceled then -- the time is over and is not counted again
                perform smsretry.set_business_apart(
                    v_stale.business_id, extract(epoch from clock_timestamp() - v_began), sqlstate, v_now);
                exit;
            when others then
                -- One bad row must not keep the others stuck; the next run tries it again.
                raise warning 'Row % could not be recovered: % (%)', v_stale.id, sqlerrm, sqlstate;
        end;
        if clock_timestamp() - v_began > interval '250 milliseconds' then
            v_skip := v_skip || v_stale.business_id;
            perform smsretry.set_business_apart(
                v_stale.business_id, extract(epoch from clock_timestamp() - v_began), null, v_now);
        end if;
    end loop;
end
$$;

revoke all on function public.recover_stuck_sms_retries from public, anon, authenticated;
grant execute on function public.recover_stuck_sms_retries to service_role;
