-- Tell a send log whether its message was delivered, or why it was undelivered. The column is the application's. If it does
-- not take these words, the log goes on saying sent, and the attempt has the truth.
create or replace function smsretry.tell_delivery(send_log_id uuid, status text, sid text, error text, at timestamptz)
returns void language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    for v_try in 1 .. 2 loop
        begin
            update public.send_logs l
            set status = case when v_try = 1 then tell_delivery.status
                              when tell_delivery.status = 'delivered' then 'sent' else l.status end,
                error_message = left(tell_delivery.error, smsretry.longest_reason()), updated_at = tell_delivery.at,
                provider_message_id = case
                    when smsretry.found_sid(l.provider_message_id) = tell_delivery.sid then l.provider_message_id
                    else jsonb_build_object('twilio_sid', tell_delivery.sid) end
            where l.id = tell_delivery.send_log_id;
            return;
        exception
            when deadlock_detected or lock_not_available or serialization_failure then
                raise; -- passing: the caller repeats the call
            when others then
                -- The application's checks and triggers never undo what the provider reported.
                if v_try = 2 then
                    raise warning 'Send log % could not be told that its text is %: %',
                        tell_delivery.send_log_id, tell_delivery.status, sqlstate;
                end if;
        end;
    end loop;
end
$$;
