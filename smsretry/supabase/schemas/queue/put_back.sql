-- Return a row to pending until it is due. The caller holds it locked and has set in it what else changes: counts,
-- reason, why, error, doubt. One write, and none to an indexed column but scheduled_for and status.
create or replace function smsretry.put_back(retry public.sms_retry_queue, due timestamptz, at timestamptz)
returns void language sql set search_path = pg_catalog, pg_temp as $$
    update public.sms_retry_queue q
    set status = 'pending', scheduled_for = put_back.due, claimed_at = null, begun_at = null,
        attempt_id = put_back.retry.attempt_id, in_doubt_since = put_back.retry.in_doubt_since,
        attempt_count = put_back.retry.attempt_count, recover_count = put_back.retry.recover_count,
        account_refusal_count = put_back.retry.account_refusal_count, held_since = put_back.retry.held_since,
        expires_at = put_back.retry.expires_at, window_closes_at = put_back.retry.window_closes_at, claimed_by_application = false,
        rate_limit_count = put_back.retry.rate_limit_count, reconcile_count = put_back.retry.reconcile_count,
        reconciled_claim_no = put_back.retry.reconciled_claim_no, reason = put_back.retry.reason,
        why = put_back.retry.why, last_error = left(put_back.retry.last_error, 2000), error_code = put_back.retry.error_code,
        updated_at = put_back.at
    where q.id = put_back.retry.id;
$$;

revoke all on function smsretry.put_back from public, anon, authenticated;
grant execute on function smsretry.put_back to service_role;
