-- Tell a send log what became of its text. Whatever the log says, the attempt has the truth.
-- Returns null if it worked; otherwise what refuses it, in codes and names, because the database's
-- message may quote the row.
--   statuses: the first that the application's table takes is written; null: the column's default,
--     as when the text was new
--   sid: of its message; null: the text waits, and has none
create or replace function smsretry.update_log(
    send_log_id uuid,
    statuses text[],
    sid text,
    error text,
    at timestamptz
)
returns text
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    v_error constant text := left(update_log.error, smsretry.longest_reason());
    v_status text;
    v_state text;
    v_table text;
    v_column text;
    v_rule text;
begin
    foreach v_status in array update_log.statuses loop
        begin
            if v_status is null then
                update public.send_logs l
                set
                    status = default,
                    provider_message_id = default,
                    error_message = v_error,
                    updated_at = update_log.at
                where l.id = update_log.send_log_id;
            else
                update public.send_logs l
                set
                    status = v_status,
                    error_message = v_error,
                    updated_at = update_log.at,
                    provider_message_id = case
                        when update_log.sid is null then '{}'
                        when smsretry.found_sid(
                            l.provider_message_id
                        ) = update_log.sid
                            then l.provider_message_id
                        else jsonb_build_object('twilio_sid', update_log.sid)
                    end
                where l.id = update_log.send_log_id;
            end if;
            if update_log.sid is null
                and exists (
                    select from public.send_logs l
                    where l.id = update_log.send_log_id
                      and smsretry.is_sent(l.provider_message_id, l.status::text)
                ) then
                raise exception 'It still says that its text was sent'
                    using errcode = 'SR409',
                          table = 'send_logs',
                          column = 'status';
            end if;
            return null;
        exception
            when deadlock_detected or lock_not_available or serialization_failure then
                raise; -- passing: the caller repeats the call
            when others then
                get stacked diagnostics
                    v_state = returned_sqlstate,
                    v_table = table_name,
                    v_column = column_name,
                    v_rule = constraint_name;
        end;
    end loop;
    return concat_ws(
        ', ',
        v_state,
        nullif(v_table, ''),
        nullif(v_column, ''),
        nullif(v_rule, '')
    );
end
$$;
