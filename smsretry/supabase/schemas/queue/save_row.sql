-- Write a row as its variable says: the one list of columns, so that whatever a function sets is
-- kept. The caller has locked the row and read it under that lock. What the text is, and the
-- application's own columns, never change. Only what changes many rows at once writes columns
-- itself: claim_rows, supersede, release_texts and record_restore. A row that no worker holds has
-- no lease, and one that has ended waits for nothing.
--   due: it goes back to pending, until then
--   ended: how it ends (completed, failed or cancelled); its send log is told
--   why: why it ends; of a completed row, what it had said before
--   why_code, code: the reason in a word, and the provider's code
--   sid: of the message that completes it; null: its send log says already that it was sent
create or replace function smsretry.save_row(
    retry public.sms_retry_queue,
    at timestamptz,
    due timestamptz default null,
    ended text default null,
    why text default null,
    why_code text default null,
    code integer default null,
    sid text default null
)
returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    if due is not null then
        retry.status := 'pending';
        retry.scheduled_for := save_row.due;
    elsif ended is not null then
        retry.status := save_row.ended;
        retry.last_error := case
            when ended <> 'completed' then save_row.why
        end;
        retry.why := case when ended = 'completed' then save_row.why end;
        retry.why_code := save_row.why_code;
        retry.error_code := save_row.code;
        retry.attempt_id := null;
        retry.in_doubt_since := null;
        retry.held_since := null;
    end if;
    if retry.status <> 'processing' then
        retry.claimed_at := null;
        retry.begun_at := null;
        retry.claimed_by_application := retry.claimed_by_application
            and retry.in_doubt_since is not null;
    end if;
    update public.sms_retry_queue q
    set
        status = retry.status,
        attempt_count = retry.attempt_count,
        max_attempts = retry.max_attempts,
        scheduled_for = retry.scheduled_for,
        last_attempted_at = retry.last_attempted_at,
        last_error = left(retry.last_error, smsretry.longest_reason()),
        reason = retry.reason,
        updated_at = save_row.at,
        claim_no = retry.claim_no,
        claimed_at = retry.claimed_at,
        begun_at = retry.begun_at,
        attempt_id = retry.attempt_id,
        in_doubt_since = retry.in_doubt_since,
        reconcile_count = retry.reconcile_count,
        reconciled_claim_no = retry.reconciled_claim_no,
        recover_count = retry.recover_count,
        error_code = retry.error_code,
        why = left(retry.why, smsretry.longest_reason()),
        why_code = retry.why_code,
        held_since = retry.held_since,
        claimed_by_application = retry.claimed_by_application,
        expires_at = retry.expires_at
    where q.id = retry.id;

    if ended = 'completed' then -- one that was delivered by an earlier message stays
        update public.send_logs l
        set
            status = case when save_row.sid is null then l.status else 'sent' end,
            provider_message_id = case
                when save_row.sid is null then l.provider_message_id
                else jsonb_build_object('twilio_sid', save_row.sid)
            end,
            error_message = null,
            updated_at = save_row.at
        where l.id = retry.send_log_id
          and not (
              l.status::text = 'delivered'
              and smsretry.found_sid(l.provider_message_id) is not null
          );
    elsif ended is not null then
        update public.send_logs l
        set
            status = 'failed',
            error_message = left(save_row.why, smsretry.longest_reason()),
            updated_at = save_row.at
        where l.id = retry.send_log_id
          and l.business_id = retry.business_id
          and not smsretry.is_sent(l.provider_message_id, l.status::text);
    end if;
end
$$;
