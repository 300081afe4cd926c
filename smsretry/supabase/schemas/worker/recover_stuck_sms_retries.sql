-- Take back the rows whose worker has been silent for stale_minutes, and return them as they are
-- now. None is failed here. The application calls this with stale_minutes alone.
-- A row that was begun, or claimed by a caller that does not begin, is in doubt, because its text
-- may have gone out. A row in doubt stays so. Any other is pending again, at no cost. A suspect
-- row, in doubt or not, is claimed alone; one that is not in doubt ever less often.
--   due_in: when a row in doubt is looked at; null: at once
--   life: how long a text is of use from a claim that counts as its first send; null: its first
--     look says so
create or replace function public.recover_stuck_sms_retries(
    stale_minutes integer default 10,
    due_in interval default null,
    life interval default null
)
returns setof public.sms_retry_queue
language plpgsql set search_path = pg_catalog, pg_temp
set statement_timeout = '8s' as $$ -- as claim_due_sms_retries
declare
    k_suspect constant integer := 2; -- the column sms_retry_queue.work goes by it, too
    v_now constant timestamptz := smsretry.clock();
    v_until constant timestamptz := clock_timestamp() + interval '3 seconds';
    v_row public.sms_retry_queue;
    v_due timestamptz;
    v_begun_at timestamptz;
begin
    if stale_minutes is null or stale_minutes < 1 then
        raise exception 'stale_minutes must be 1 or more, not %', stale_minutes
            using errcode = 'SR422',
                  hint = 'It must outlast the slowest send, or live workers lose their claims.';
    end if;
    for v_row in
        select *
        from public.sms_retry_queue q
        where q.work = 'under_way'
          and (
              greatest(
                  q.claimed_at,
                  q.begun_at
              ) <= v_now - make_interval(mins => stale_minutes)
              -- Claimed while the clock was ahead: its lease would last until then.
              or greatest(
                  q.claimed_at,
                  q.begun_at
              ) > v_now + make_interval(mins => stale_minutes)
          )
        order by random() -- one that takes all the time does not come first each time
        limit smsretry.rows_of_claim(1000)
        for update skip locked
    loop
        exit when clock_timestamp() > v_until; -- the next run takes the rest
        begin
            v_due := v_now + coalesce(due_in, interval '0');
            if v_row.claimed_by_application
                and v_row.begun_at is null
                and v_row.in_doubt_since is null
            then
                -- adopted, it began at some moment after its last try
                v_begun_at := least(
                    v_row.claimed_at,
                    case v_row.claim_no when 1 then v_row.last_attempted_at end
                );
                v_row.attempt_id := smsretry.presume_send(v_row, v_begun_at, v_now);
                if v_row.attempt_id is not null then
                    v_row.begun_at := v_begun_at;
                end if;
            end if;
            if v_row.begun_at is not null then
                update public.sms_send_attempts a
                set
                    finished_at = v_now,
                    outcome = 'in_doubt',
                    worker_died = true
                where a.id = v_row.attempt_id and a.finished_at is null;
                v_row.in_doubt_since := v_now;
                v_row.expires_at := coalesce(
                    v_row.expires_at,
                    least(v_row.claimed_at, v_now) + life
                );
                v_row.attempt_count := greatest(
                    v_row.attempt_count,
                    (
                        select a.attempt_number
                        from public.sms_send_attempts a
                        where a.id = v_row.attempt_id
                    )
                );
                v_row.last_error := 'The worker died after the send began: it is unknown whether the text went out';
                v_row.error_code := null;
                v_row.why_code := 'worker_died';
            else
                -- Without a limit: a text that was never tried, or is in doubt, is never failed
                -- because workers died.
                v_row.recover_count := v_row.recover_count + 1;
                if v_row.in_doubt_since is null then
                    v_due := v_row.scheduled_for;
                    if v_row.recover_count >= k_suspect then
                        v_due := v_now + make_interval(
                            mins => least(v_row.recover_count - k_suspect, 15)
                        );
                        v_row.why_code := 'worker_died';
                        v_row.why := 'Its worker died ' || v_row.recover_count
                            || ' times before the send began: it is claimed alone from now on';
                    end if;
                end if;
            end if;
            perform smsretry.save_row(v_row, v_now, due => v_due);
            return query
            select q.*
            from public.sms_retry_queue q
            where q.id = v_row.id;
            set constraints all immediate; -- a deferred check would undo the others, too
        exception
            when query_canceled then -- the time is over and is not counted again
                exit;
            when others then
                -- The next run tries it again.
                raise warning 'Row % could not be recovered: % (%)',
                    v_row.id,
                    sqlerrm,
                    sqlstate;
        end;
    end loop;
end
$$;
