-- Record that an attempt in doubt never reached the provider. If the row waits for it, its text is
-- sent again; that costs no attempt if the worker died, because the request may never have left.
-- What it took of its sender's day stays taken, unlike what was refused: that nobody found it does
-- not prove that no carrier counted it, and few texts come into doubt. The caller has locked the
-- row.
create or replace function smsretry.not_sent(
    retry public.sms_retry_queue,
    attempt_id uuid,
    settled_by text,
    at timestamptz
)
returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    v_attempt public.sms_send_attempts;
begin
    update public.sms_send_attempts a
    set
        outcome = 'not_sent',
        finished_at = not_sent.at,
        settled_by = not_sent.settled_by,
        sent_to = null,
        sent_body = null
    where a.id = not_sent.attempt_id
      and a.outcome is distinct from 'not_sent'
    returning *
    into v_attempt;
    if retry.status in ('failed', 'cancelled') then
        return;
    end if;
    if v_attempt.worker_died then
        retry.attempt_count := least(
            retry.attempt_count,
            greatest(v_attempt.attempt_number - 1, 0)
        );
    end if;
    retry.attempt_id := null;
    retry.in_doubt_since := null;
    retry.reconcile_count := 0;
    retry.held_since := null;
    retry.why := null;
    retry.why_code := case not_sent.settled_by
        when 'operator' then 'operator'
        else 'no_evidence'
    end;
    perform smsretry.save_row(retry, not_sent.at, due => not_sent.at);
end
$$;
