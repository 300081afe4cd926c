-- Queue the text of a scheduled send, or keep it for later. An error is its own trouble: it is held and says what to mend.
-- busy: its business was locked a moment ago, so it is not tried. state: the SQLSTATE if it failed. The row is locked.
create or replace function smsretry.make_text(
    send public.scheduled_sends, life interval, busy boolean, until timestamptz, at timestamptz,
    out result text, out why text, out retry_id uuid, out why_code text, out state text
)
language plpgsql set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_variable
declare
    v_look_at constant timestamptz := until + interval '13 minutes'; -- of what somebody must mend
    v_table text;
    v_column text;
    v_rule text;
    v_message text;
begin
    if exists (select 1 from smsretry.held_sends h where h.scheduled_id = send.id and h.expired) then
        select k.result, k.why, k.why_code into result, why, why_code
        from smsretry.keep_scheduled(send, 'It was held for too long', life, v_look_at, at) k;
        return;
    end if;
    state := case when busy then '55P03' end;
    if state is null then
        begin
            select q.result, q.why, q.retry_id, q.why_code into result, why, retry_id, why_code
            from smsretry.queue_scheduled(send, at, life) q;
        exception when query_canceled or others then
            get stacked diagnostics state = returned_sqlstate, v_table = table_name, v_column = column_name,
                v_rule = constraint_name, v_message = message_text;
        end;
    end if;
    if state in ('55P03', '40P01', '40001') then
        select k.result, k.why, k.why_code into result, why, why_code
        from smsretry.keep_scheduled(send, null, life, until + interval '30 seconds', at) k;
    elsif state <> '57014' then
        -- The database's own message may quote the row. Ours, with an SR code, hold only ids.
        select k.result, k.why, k.why_code into result, why, why_code
        from smsretry.keep_scheduled(
            send, 'Its text cannot be made: ' || case
                when state like 'SR%' then v_message
                else concat_ws(', ', state, nullif(v_table, ''), nullif(v_column, ''), nullif(v_rule, ''))
                    || '. Look at what send_logs and scheduled_sends require beyond smsretry''s columns, and at their triggers'
            end, life, v_look_at, at) k;
    end if;
end
$$;
