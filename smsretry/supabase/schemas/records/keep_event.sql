-- Write an event of a text's story, when it does not go straight from the queue to its send. What
-- only repeats the last event is counted there. What people do is left to the functions that they
-- call.
--   deferred: it waits for a reason that is no failure
--   given_back: it was not tried, because the run stopped sending it
--   held: it waits for something that a person can mend
--   retry_scheduled: a send of it came to nothing
--   taken_back: its worker fell silent before a send began
--   in_doubt: a send of it may have gone out
--   looked_for: a look found neither it nor its absence
--   not_found: it counts as not gone out
--   failed, cancelled, completed: it has ended
--   queued_anew: it is queued after its end
--   put_off: its time was moved while it waited
create or replace function smsretry.keep_event(
    old public.sms_retry_queue,
    new public.sms_retry_queue
)
returns void
language plpgsql set search_path = pg_catalog, pg_temp
as $$
declare
    v_now constant timestamptz := smsretry.clock();
    v_code text;
    v_ends boolean;
    v_who text := 'smsretry';
    v_last record;
    v_detail jsonb;
begin
    if new.why_code = 'operator'
        and new.status in ('pending', 'cancelled')
        and (
            new.why_code,
            new.why,
            new.in_doubt_since is null
        ) is distinct from (old.why_code, old.why, old.in_doubt_since is null)
    then
        return;
    end if;
    v_code := case
        when new.status in ('failed', 'cancelled', 'completed') then new.status
        when old.status in ('failed', 'cancelled', 'completed') then 'queued_anew'
        when old.in_doubt_since is null
          and new.in_doubt_since is not null
            then 'in_doubt'
        when old.in_doubt_since is not null
          and new.in_doubt_since is null
            then 'not_found'
        when old.status = 'pending' then 'put_off'
        when new.recover_count > old.recover_count then 'taken_back'
        when new.held_since is not null then 'held'
        when new.in_doubt_since is not null then 'looked_for'
        when old.begun_at is not null or old.claimed_by_application
            then 'retry_scheduled'
        when new.why is null
          and new.scheduled_for = old.scheduled_for
            then 'given_back'
        else 'deferred'
    end;
    v_ends := v_code in ('failed', 'cancelled', 'completed', 'queued_anew');
    if v_code = 'completed'
        and exists (
            select from public.sms_send_attempts a
            where a.retry_id = new.id and a.outcome = 'accepted'
        ) then
        return; -- the attempt says so
    end if;
    -- Our functions leave no lease behind, and say why they end or move a row.
    if v_code in ('completed', 'put_off')
        or new.claimed_at is not null
        or old.status <> 'processing'
            and (
                new.why_code,
                new.why,
                new.in_doubt_since
            ) is not distinct from (old.why_code, old.why, old.in_doubt_since)
    then
        v_who := 'the application';
    end if;
    select e.id, e.code, e.who, e.detail
    into v_last
    from smsretry.events e
    where e.about = new.id
    order by e.id desc
    limit 1;
    v_detail := jsonb_strip_nulls(
        jsonb_build_object(
            'because', nullif(
                btrim(
                    left(
                        smsretry.numberless(
                            case
                                when v_ends or v_code = 'retry_scheduled'
                                    then new.last_error
                                when v_code in ('deferred', 'held') then new.why
                                when v_code = 'in_doubt'
                                    then coalesce(new.why, new.last_error)
                            end
                        ),
                        500
                    )
                ),
                ''
            ),
            'why_code', new.why_code,
            'since', case when v_code = 'taken_back' then old.claimed_at end,
            'until', case when new.status = 'pending' then new.scheduled_for end
        )
    );
    if v_last.code = v_code
        and v_last.who = v_who
        and not v_ends
        and v_last.detail ->> 'why_code'
            is not distinct from v_detail ->> 'why_code'
    then
        update smsretry.events e
        set detail = v_last.detail || v_detail
            || jsonb_build_object(
                'times', coalesce((v_last.detail ->> 'times')::integer, 1) + 1,
                'last_at', v_now
            )
        where e.id = v_last.id;
    else
        insert into smsretry.events (at, about, code, who, detail)
        values (v_now, new.id, v_code, v_who, v_detail);
    end if;
end
$$;
