-- Take back the rows whose worker has been silent for stale_minutes, and return them as they are now.
--   begun: the text may have gone out, so the row is in doubt, and the attempt counts
--   in doubt: still so
--   neither: pending again at no cost, max_recoveries times; after that the row fails
-- A row in doubt is looked at again look_in from now.
-- The defaults are for the application, which calls this with stale_minutes alone; the package passes what it means.
create or replace function public.recover_stuck_sms_retries(
    stale_minutes integer default 10, look_in interval default '1 minute', max_recoveries integer default 5
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
    if look_in is null or max_recoveries is null then
        raise exception 'look_in and max_recoveries must not be null' using errcode = 'SR422';
    end if;
    for v_stale in
        select * from public.sms_retry_queue q
        where q.status = 'processing'
          and greatest(q.claimed_at, q.begun_at) <= v_now - make_interval(mins => stale_minutes)
        order by q.id
        limit 500
        for update skip locked
    loop
        begin
            if v_stale.begun_at is not null then
                update public.sms_send_attempts a
                set finished_at = v_now, outcome = 'in_doubt'
                where a.id = v_stale.attempt_id and a.finished_at is null;
                v_stale.in_doubt_since := v_now;
                v_stale.attempt_count := greatest(v_stale.attempt_count, coalesce(
                    (select a.attempt_number from public.sms_send_attempts a where a.id = v_stale.attempt_id), 0));
                v_stale.last_error := 'The worker died after the send began: it is unknown whether the text went out';
                v_stale.error_code := null;
                perform smsretry.put_back(v_stale, v_now + look_in, v_now);
            elsif v_stale.in_doubt_since is not null then
                -- Its worker died while it looked for evidence. Not limited: to give the row up would call a text failed
                -- that may have been read.
                perform smsretry.put_back(v_stale, v_now + look_in, v_now);
            elsif v_stale.recover_count >= max_recoveries then
                perform smsretry.close_row(
                    v_stale, 'failed', 'Gave up: ' || v_stale.recover_count + 1 || ' workers died while they held this row',
                    null, v_now);
            else
                v_stale.recover_count := v_stale.recover_count + 1;
                perform smsretry.put_back(v_stale, v_stale.scheduled_for, v_now);
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
