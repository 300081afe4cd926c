-- End a row as failed or cancelled, and tell its send log why, unless that says sent. The caller holds the row locked; what
-- else it set in the row is kept.
create or replace function smsretry.close_row(
    retry public.sms_retry_queue, final_status text, error text, why_code text, code integer, at timestamptz
)
returns void language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    retry.status := close_row.final_status;
    retry.last_error := close_row.error;
    retry.error_code := close_row.code;
    retry.why := null;
    retry.why_code := close_row.why_code;
    perform smsretry.save_row(retry, close_row.at);

    update public.send_logs l
    set status = 'failed', error_message = left(close_row.error, smsretry.longest_reason()), updated_at = close_row.at
    where l.id = retry.send_log_id and l.business_id = retry.business_id
      and not smsretry.is_sent(l.provider_message_id, l.status::text);
end
$$;
