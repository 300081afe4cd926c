-- End a row whose text the provider accepted, and tell its send log. Without a SID the log already says so and stays, as
-- does one that was delivered by an earlier message. why: what the row said before, if it had ended. Locked: as in close_row.
create or replace function smsretry.complete_row(
    retry public.sms_retry_queue, sid text, at timestamptz, why text default null
)
returns void language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    retry.status := 'completed';
    retry.last_error := null;
    retry.error_code := null;
    retry.why := complete_row.why;
    retry.why_code := null;
    perform smsretry.save_row(retry, complete_row.at);

    update public.send_logs l
    set status = case when complete_row.sid is null then l.status else 'sent' end,
        provider_message_id = case when complete_row.sid is null then l.provider_message_id
                                   else jsonb_build_object('twilio_sid', complete_row.sid) end,
        error_message = null, updated_at = complete_row.at
    where l.id = retry.send_log_id
      and not (l.status::text = 'delivered' and smsretry.found_sid(l.provider_message_id) is not null);
end
$$;
