-- End a row whose text Twilio accepted, and tell its send log. The caller holds it locked and has set its counts and
-- reason. Without a SID it is the send log that says so, and it keeps what it says; so does one whose text was delivered by
-- an earlier message.
create or replace function smsretry.complete_row(retry public.sms_retry_queue, sid text, at timestamptz)
returns void language sql set search_path = pg_catalog, pg_temp as $$
    update public.sms_retry_queue q
    set status = 'completed', last_error = null, error_code = null, why = null, held_since = null,
        claimed_at = null, claimed_by_application = false, begun_at = null, attempt_id = null, in_doubt_since = null,
        attempt_count = complete_row.retry.attempt_count, rate_limit_count = complete_row.retry.rate_limit_count,
        reconciled_claim_no = complete_row.retry.reconciled_claim_no, reason = complete_row.retry.reason,
        updated_at = complete_row.at
    where q.id = complete_row.retry.id;

    update public.send_logs l
    set status = case when complete_row.sid is null then l.status else 'sent' end,
        provider_message_id = case when complete_row.sid is null then l.provider_message_id
                                   else jsonb_build_object('twilio_sid', complete_row.sid) end,
        error_message = null, updated_at = complete_row.at
    where l.id = complete_row.retry.send_log_id
      and not (l.status::text = 'delivered' and smsretry.found_sid(l.provider_message_id) is not null);
$$;

revoke all on function smsretry.complete_row from public, anon, authenticated;
grant execute on function smsretry.complete_row to service_role;
