-- Keep a scheduled send that could not be queued for a reason that is not its own: held if somebody must mend it (trouble),
-- for life at most, otherwise later. result: held | later | cancelled. If a trigger or a rule refuses even this, it stays as it is,
-- and only the answer says why. The caller holds the row locked.
create or replace function smsretry.keep_scheduled(
    send public.scheduled_sends, trouble text, life interval, look_at timestamptz, at timestamptz,
    out result text, out why text, out why_code text
)
language plpgsql set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
declare
    v_expired constant boolean := keep_scheduled.trouble is not null and coalesce(send.held_since + keep_scheduled.life <= keep_scheduled.at, false);
    v_status text;
    v_due timestamptz;
    v_state text;
    v_table text;
    v_column text;
    v_rule text;
begin
    result := case when v_expired then 'cancelled' when keep_scheduled.trouble is null then 'later' else 'held' end;
    why := case when v_expired then 'Expired before it could be sent. ' else '' end || keep_scheduled.trouble;
    why_code := case result when 'cancelled' then 'expired' when 'held' then 'row_refused' end;
    update public.scheduled_sends s
    set status = case keep_scheduled.result when 'cancelled' then 'cancelled' else s.status end,
        why = case keep_scheduled.result when 'later' then s.why else left(keep_scheduled.why, smsretry.longest_reason()) end,
        why_code = case keep_scheduled.result when 'later' then s.why_code else keep_scheduled.why_code end,
        held_since = case keep_scheduled.result when 'held' then coalesce(s.held_since, keep_scheduled.at)
                                                when 'later' then s.held_since end,
        look_at = case when keep_scheduled.result <> 'cancelled' then keep_scheduled.look_at end
    where s.id = send.id
    returning s.status, coalesce(s.look_at, s.scheduled_for) into v_status, v_due;
    if coalesce(v_status = 'scheduled' and (v_expired or v_due < keep_scheduled.look_at), true) then
        raise exception 'It stays as it was' using errcode = 'SR409';
    end if;
    set constraints all immediate; -- a deferred check would undo the others, too
exception when others then
    get stacked diagnostics v_state = returned_sqlstate, v_table = table_name, v_column = column_name, v_rule = constraint_name;
    result := 'held';
    why_code := 'row_refused';
    why := left(concat_ws('. ', keep_scheduled.trouble, case
        when v_state = 'SR409' then 'Its row stays as it is, whatever is written: look for a trigger on scheduled_sends '
            || 'that swallows or undoes updates'
        else 'Its row cannot be changed: '
            || concat_ws(', ', v_state, nullif(v_table, ''), nullif(v_column, ''), nullif(v_rule, ''))
            || '. Fix the row, or look at the triggers and rules of scheduled_sends' end), smsretry.longest_reason());
end
$$;
