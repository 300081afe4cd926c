-- Requeue, cancel or look at one text or scheduled send, for change_sms_texts. A requeued one is
-- due at once, keeps its class, attempts and errors, gets three further sends, and its life starts
-- anew. A look makes a text due, and changes nothing else.
--   states: in which it may be
--   skip: why it is left alone
create or replace function smsretry.change_text(
    what text,
    id uuid,
    states text[],
    dry_run boolean,
    who text,
    because text,
    at timestamptz,
    out skip text
)
language plpgsql set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_variable
declare
    v_row public.sms_retry_queue;
    v_log public.send_logs;
    v_state text;
begin
    -- the send log first, as in queue_sms_retry, so that no second live row can appear
    if what = 'requeue' then
        select l.*
        into v_log
        from public.send_logs l
        where l.id = (
            select q.send_log_id
            from public.sms_retry_queue q
            where q.id = id
        )
        for update;
    end if;
    select *
    into v_row
    from public.sms_retry_queue q
    where q.id = id
    for update;
    v_state := case
        when v_row.id is not null then smsretry.text_state(v_row, at)
        else (
            select smsretry.planned_state(s)
            from public.scheduled_sends s
            where s.id = id
        )
    end;
    skip := coalesce(
        case
            when v_row.id is not null
                then smsretry.left_alone(what, v_row, v_log, at)
            when what = 'requeue' then 'It never became a text: schedule it anew'
            when what = 'look' then 'It is not queued yet: its time comes by itself'
            when v_state in ('failed', 'cancelled')
                then 'It has ended, it is ' || v_state
        end,
        case
            when v_state <> all (states)
                then 'It is ' || v_state
                    || ': ask for that state, too (--state '
                    || v_state || ')'
        end
    );
    if dry_run or skip is not null then
        return;
    end if;
    if v_row.id is null then
        update public.scheduled_sends s
        set
            status = 'cancelled',
            why = 'Cancelled by ' || who || ': ' || because,
            why_code = 'operator'
        where s.id = id and s.status = 'scheduled'
        returning s.status
        into v_state;
        skip := case
            when v_state is distinct from 'cancelled'
                then 'It has changed meanwhile, or a trigger on scheduled_sends keeps it'
        end;
        set constraints all immediate; -- a deferred check would undo the others, too
        return;
    end if;
    case what
        when 'cancel' then
            perform smsretry.save_row(
                v_row,
                at,
                ended => 'cancelled',
                why => 'Cancelled by ' || who || ': ' || because,
                why_code => 'operator'
            );
        when 'look' then -- a doubt stays held: a person is still to decide about it
            -- In the past tense, so that nobody takes the old reason for a new one.
            v_row.why := coalesce(
                case
                    when v_row.held_since is not null then 'It was held: '
                    else 'It waited: '
                end || left(coalesce(v_row.why, v_row.last_error), 1000)
                    || '. ',
                ''
            ) || 'Looked at again by ' || who || ': ' || because;
            if v_row.in_doubt_since is null then
                v_row.held_since := null;
                v_row.why_code := 'operator';
            end if;
            perform smsretry.save_row(v_row, at, due => at);
        else -- requeue: the attempt keeps the SID of an undelivered message, the log does not
            skip := 'Its send log cannot be told that it waits: '
                || smsretry.update_log(v_log.id, '{null,failed}', null, null, at);
            if skip is not null then
                return;
            end if;
            v_row.max_attempts := least(
                greatest(v_row.max_attempts, v_row.attempt_count + 3),
                1000
            );
            v_row.expires_at := null;
            v_row.recover_count := 0;
            v_row.reconcile_count := 0;
            v_row.reason := null;
            v_row.why_code := 'operator';
            v_row.why := 'Requeued by ' || who || ': ' || because;
            perform smsretry.save_row(v_row, at, due => at);
    end case;
    perform smsretry.note_event(
        v_row.id,
        case what
            when 'cancel' then 'cancelled'
            when 'look' then 'looked_again'
            else 'requeued'
        end,
        who,
        because
    );
exception
    when others then -- the order goes on with the others
        skip := 'A trigger or a rule of the application refuses each change of it ('
            || sqlstate || ')';
end
$$;
