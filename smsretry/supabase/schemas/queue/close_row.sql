-- End a row for good, failed or cancelled, and tell its send log why. The caller holds it locked and has set its counts
-- and reason. What a send log already knows to be sent is never taken back.
create or replace function smsretry.close_row(
    retry public.sms_retry_queue, final_status text, error text, code integer, at timestamptz
)
returns void language sql set search_path = pg_catalog, pg_temp as $$
    update public.sms_retry_queue q
    set status = close_row.final_status, last_error = left(close_row.error, 2000), error_code = close_row.code, why = null, held_since = null,
        claimed_at = null, claimed_by_application = false, begun_at = null, attempt_id = null, in_doubt_since = null,
        attempt_count = close_row.retry.attempt_count, rate_limit_count = close_row.retry.rate_limit_count,
        reconciled_claim_no = close_row.retry.reconciled_claim_no, reason = close_row.retry.reason,
        updated_at = close_row.at
    where q.id = close_row.retry.id;

    update public.send_logs l
    set status = 'failed', error_message = left(close_row.error, 2000), updated_at = close_row.at
    where l.id = close_row.retry.send_log_id and l.business_id = close_row.retry.business_id
      and not smsretry.is_sent(l.provider_message_id, l.status::text);
$$;

revoke all on function smsretry.close_row from public, anon, authenticated;
grant execute on function smsretry.close_row to service_role;
