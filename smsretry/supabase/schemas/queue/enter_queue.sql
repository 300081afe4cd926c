-- Receive a text into the queue, or back into it after its end, whoever writes that. If an earlier
-- send of it may have gone out, it is in doubt about that. For a new row, the claim of the
-- application's own processor ends, its age counts from now by the one clock, and when it was first
-- due is kept. An upsert comes here too, and inserts nothing where its id is taken: then nothing
-- else changes. If row level security refuses the row, all of this is undone.
create or replace function smsretry.enter_queue(
    new public.sms_retry_queue,
    is_new boolean
)
returns public.sms_retry_queue
language plpgsql set search_path = pg_catalog, pg_temp
as $$
declare
    v_now constant timestamptz := smsretry.clock();
    v_doubt record;
begin
    if is_new then
        -- as created_at: the application's table may have no default
        new.updated_at := coalesce(new.updated_at, v_now);
        if new.reason = 'quiet_hours'
            and new.attempt_count >= new.max_attempts
            and new.max_attempts > 0
        then
            -- the send that may not go out now was no attempt: it is still owed
            new.attempt_count := new.max_attempts - 1;
        end if;
        -- It could not go out before it came here, unless it was planned.
        new.first_due_at := case
            when new.scheduled_for >= v_now
              or exists (
                  select from public.scheduled_sends s
                  where s.id = new.send_log_id
                    and s.business_id is not distinct from new.business_id
              )
                then new.scheduled_for
            else v_now
        end;
        new.last_error := left(new.last_error, smsretry.longest_reason());
        new.last_attempted_at := coalesce(
            new.last_attempted_at,
            (
                select max(q.last_attempted_at)
                from public.sms_retry_queue q
                where q.send_log_id = new.send_log_id
            )
        );
        if new.status <> 'pending'
            or exists (
                select from public.sms_retry_queue q
                where q.id = new.id
            ) then
            return new;
        end if;
        new.created_at := v_now;
        perform smsretry.supersede(
            new.send_log_id,
            new.business_id,
            new.attempt_count
        );
    end if;
    select *
    into v_doubt
    from smsretry.earlier_doubt(new.send_log_id, new.business_id);
    if v_doubt.attempt_id is not null then
        new.attempt_id := v_doubt.attempt_id;
        new.in_doubt_since := v_doubt.since;
        new.reconcile_count := 0;
        new.held_since := null;
        new.why := 'An earlier send of this text may have gone out: it is looked for before another one leaves';
        new.why_code := 'in_doubt';
    end if;
    return new;
end
$$;
