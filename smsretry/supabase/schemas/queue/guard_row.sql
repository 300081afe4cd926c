-- Keep the rules of a row of the queue, whoever writes it and whatever other triggers made of it. One
-- trigger, and no condition of its own: PostgreSQL would parse that anew in each statement. security
-- definer, because the application and tenants may neither write events and attempts nor call
-- smsretry.work.
create or replace function smsretry.guard_row()
returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
    v_broken text;
begin
    if tg_op = 'INSERT' then
        new := smsretry.enter_queue(new, true);
    elsif old.status in ('completed', 'failed', 'cancelled') and new.status = 'pending' then
        new := smsretry.enter_queue(new, false);
    elsif old.claimed_by_application
        and new.in_doubt_since is not null
        and new.status in ('completed', 'failed')
    then
        -- Its own claim ran out and put the text in doubt. Believe it what became of it.
        update public.sms_send_attempts a
        set
            outcome = case new.status when 'completed' then 'accepted' else 'rejected' end,
            finished_at = smsretry.clock(),
            settled_by = 'application',
            sent_to = null,
            sent_body = null
        where a.id = new.attempt_id and a.outcome = 'in_doubt';
        new.attempt_id := null;
        new.in_doubt_since := null;
        new.held_since := null;
        new.claimed_at := null;
        new.claimed_by_application := false;
    end if;
    -- A generated column would do, but PostgreSQL 18 publishes none, and then refuses each update of
    -- a table whose replica identity is full.
    new.work := smsretry.work(new.status, new.recover_count, new.in_doubt_since);

    -- The state machine. A row that breaks it is refused like one that breaks a constraint.
    v_broken := case
        when new.status = 'processing' and new.claimed_at is null
            then 'lease' -- without it nobody could take the row back
        when new.begun_at is not null
            and (new.status = 'processing' and new.attempt_id is not null) is not true
            then 'begun' -- only a claimed row is begun, and its send has an id
        when new.in_doubt_since is not null
            and (new.attempt_id is null or new.status = 'completed')
            then 'doubt' -- it is about one attempt, and not about a text that is known to be sent
        when new.held_since is not null
            and (new.status in ('pending', 'processing') and new.why is not null) is not true
            then 'held'
        when greatest(length(new.last_error), length(new.why)) > smsretry.longest_reason()
            then 'lengths' -- a claim's answer carries them for each of its rows
    end;
    if v_broken is not null then
        raise exception 'A row of sms_retry_queue would break its rule sms_retry_queue_% (smsretry.guard_row)', v_broken
            using errcode = '23514',
                  constraint = 'sms_retry_queue_' || v_broken,
                  table = 'sms_retry_queue',
                  schema = 'public';
    end if;
    -- Not for a claim, a begin and an acceptance, which the plain path is made of.
    if tg_op = 'UPDATE' and (
        new.status in ('pending', 'failed', 'cancelled')
            and (old.status <> new.status or new.scheduled_for > old.scheduled_for)
        or new.status = 'completed'
            and (new.claimed_at is not null or old.status not in ('processing', 'completed'))
    ) then
        perform smsretry.keep_event(old, new);
    end if;
    return new;
end
$$;
