-- Take back the rows whose worker has been silent for stale_minutes, and return them as they are now. None is failed here.
--   begun, or claimed by a caller that does not begin: the text may have gone out, so the row is in doubt
--   in doubt: still so · neither: pending again at no cost; either way a suspect row is claimed alone, and ever less often
-- look_in: when a row in doubt is looked at; null: at once. life: how long a text is of use from a claim that counts as its
-- first send; null: its first look says so. The application calls this with stale_minutes alone.
create or replace function public.recover_stuck_sms_retries(
    stale_minutes integer default 10, look_in interval default null, life interval default null
)
returns setof public.sms_retry_queue
language plpgsql security invoker set search_path = pg_catalog, pg_temp
set statement_timeout = '8s' as $$ -- as claim_due_sms_retries
declare
    v_now constant timestamptz := smsretry.clock();
    v_until constant timestamptz := clock_timestamp() + interval '3 seconds';
    v_stale public.sms_retry_queue;
begin
    if stale_minutes is null or stale_minutes < 1 then
        raise exception 'stale_minutes must be 1 or more, not %', stale_minutes
            using errcode = 'SR422', hint = 'It must outlast the slowest send, or live workers lose their claims.';
    end if;
    for v_stale in
        select * from public.sms_retry_queue q
        where q.work = 'under_way'
          and (greatest(q.claimed_at, q.begun_at) <= v_now - make_interval(mins => stale_minutes)
               -- Claimed while the clock was ahead: its lease would last until then.
               or greatest(q.claimed_at, q.begun_at) > v_now + make_interval(mins => stale_minutes))
        order by random() -- one that takes all the time does not come first each time
        limit smsretry.rows_of_claim(1000)
        for update skip locked
    loop
        exit when clock_timestamp() > v_until; -- the next run takes the rest
        begin
            perform smsretry.recover_row(v_stale, look_in, life, v_now);
            return query select q.* from public.sms_retry_queue q where q.id = v_stale.id;
            set constraints all immediate; -- a deferred check would undo the others, too
        exception
            when query_canceled then -- the time is over and is not counted again
                exit;
            when others then
                -- The next run tries it again.
                raise warning 'Row % could not be recovered: % (%)', v_stale.id, sqlerrm, sqlstate;
        end;
    end loop;
end
$$;
