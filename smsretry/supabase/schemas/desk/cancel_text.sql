-- For change_sms_texts: end a text that waits, or a scheduled send. Returns why it is left alone; null: it is cancelled.
create or replace function smsretry.cancel_text(id uuid, dry_run boolean, who text, because text, at timestamptz)
returns text language plpgsql set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_variable
declare
    v_why constant text := 'Cancelled by ' || who || ': ' || because;
    v_row public.sms_retry_queue;
    v_skip text;
begin
    select * into v_row from public.sms_retry_queue q where q.id = id for update;
    if v_row.id is null then
        return case when not dry_run then smsretry.cancel_scheduled(id, v_why) end;
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
end
$$;
