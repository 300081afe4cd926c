-- For change_sms_texts: end a text that waits, or a scheduled send. Returns why it is left alone; null: it is cancelled.
create or replace function smsretry.cancel_text(id uuid, dry_run boolean, who text, because text, at timestamptz)
returns text language plpgsql set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_variable
declare
    v_why constant text := 'Cancelled by ' || who || ': ' || because;
    v_row public.sms_retry_queue;
    v_skip text;
    v_status text;
begin
    select * into v_row from public.sms_retry_queue q where q.id = id for update;
    if v_row.id is null and not dry_run then
        update public.scheduled_sends s set status = 'cancelled', why = v_why, why_code = 'operator'
        where s.id = id and s.status = 'scheduled' returning s.status into v_status;
        v_skip := case when v_status is distinct from 'cancelled' then 'It has changed meanwhile, or a trigger on scheduled_sends keeps it' end;
        set constraints all immediate; -- a deferred check would undo the others, too
    end if;
    if v_row.id is null then
        return v_skip;
    end if;
    v_skip := case
        when v_row.status not in ('pending', 'processing') then 'It has changed meanwhile'
        when v_row.in_doubt_since is not null then 'It is unknown whether it went out: evidence is looked for'
        when v_row.status = 'processing' then 'A worker has it at this moment'
    end;
    if v_skip is null and not dry_run then
        perform smsretry.close_row(v_row, 'cancelled', v_why, 'operator', null, at);
        perform smsretry.note_event(v_row.id, 'cancelled', who, because);
    end if;
    return v_skip;
exception when others then
    return 'A trigger or a rule of the application refuses each change of it (' || sqlstate || ')';
end
$$;
