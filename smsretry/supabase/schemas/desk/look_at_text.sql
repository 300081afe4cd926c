-- For change_sms_texts: have a text looked at by the next run. Nothing else about it changes: every check is made anew, and its
-- life goes on. Returns why it is left alone; null: it is looked at.
create or replace function smsretry.look_at_text(id uuid, dry_run boolean, who text, because text, at timestamptz)
returns text language plpgsql set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_variable
declare
    v_row public.sms_retry_queue;
    v_skip text;
begin
    select * into v_row from public.sms_retry_queue q where q.id = id for update;
    v_skip := case when v_row.id is null then 'It is not queued yet: its time comes by itself' else smsretry.not_looked_at(v_row, at) end;
    if dry_run or v_skip is not null then
        return v_skip;
    end if;
    -- Told as what was, so that nobody takes the old reason for a new one.
    v_row.why := coalesce(case when v_row.held_since is not null then 'It was held: ' else 'It waited: ' end
                          || left(coalesce(v_row.why, v_row.last_error), 1000) || '. ', '')
        || 'Looked at again by ' || who || ': ' || because;
    if v_row.in_doubt_since is null then -- a doubt stays held: a person is still to decide about it
        v_row.held_since := null;
        v_row.why_code := 'operator';
    end if;
    perform smsretry.save_row(v_row, at, due => at);
    perform smsretry.note_event(v_row.id, 'looked_again', who, because);
    return null;
end
$$;
