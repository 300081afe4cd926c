-- Tell a send log that its text waits and has no message, by its status's default; if that is refused or says sent, by
-- failed. Null if it worked; otherwise what refuses it, in codes and names: the database's message may quote the row.
create or replace function smsretry.tell_waiting(send_log_id uuid, error text, at timestamptz)
returns text language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    v_state text;
    v_table text;
    v_column text;
    v_rule text;
begin
    for v_try in 1 .. 2 loop
        begin
            if v_try = 1 then
                update public.send_logs l
                set status = default, provider_message_id = default, error_message = left(tell_waiting.error, smsretry.longest_reason()),
                    updated_at = tell_waiting.at
                where l.id = tell_waiting.send_log_id;
            else
                update public.send_logs l
                set status = 'failed', provider_message_id = '{}', error_message = left(tell_waiting.error, smsretry.longest_reason()),
                    updated_at = tell_waiting.at
                where l.id = tell_waiting.send_log_id;
            end if;
            if exists (select 1 from public.send_logs l
                       where l.id = tell_waiting.send_log_id and smsretry.is_sent(l.provider_message_id, l.status::text)) then
                raise exception 'It still says that its text was sent' using errcode = 'SR409', table = 'send_logs', column = 'status';
            end if;
            return null;
        exception
            when deadlock_detected or lock_not_available or serialization_failure then
                raise; -- passing: the caller repeats the call
            when others then
                get stacked diagnostics v_state = returned_sqlstate, v_table = table_name, v_column = column_name,
                    v_rule = constraint_name;
        end;
    end loop;
    return concat_ws(', ', v_state, nullif(v_table, ''), nullif(v_column, ''), nullif(v_rule, ''));
end
$$;
