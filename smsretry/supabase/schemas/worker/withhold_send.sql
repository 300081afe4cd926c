-- A send that nothing else keeps: may it leave from here? Parameters and answers: begin_sms_attempt. The last check, so that
-- a staging copy shows what would have gone out, and when.
--   go · ended: the worker texts only others, so the text is cancelled · held: worker and mark disagree, so the
--   text waits until somebody has said which is right
create or replace function smsretry.withhold_send(
    retry public.sms_retry_queue, send_to text, listed boolean, address text, expires_at timestamptz, at timestamptz,
    out answer text, out why text, out why_code text, out reached_at timestamptz
)
language plpgsql set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_variable
begin
    if send_to = 'listed' and coalesce(listed, false) then -- a person named whom it may text, which is right everywhere
        answer := 'go';
        return;
    end if;
    why := smsretry.mark_mismatch(send_to, address);
    if why is not null then
        why_code := 'mark_mismatch';
        reached_at := at + smsretry.mark_look();
        retry.why := why;
        retry.why_code := why_code;
        retry.held_since := coalesce(retry.held_since, at);
        retry.expires_at := coalesce(retry.expires_at, expires_at);
        perform smsretry.put_back(retry, reached_at, at);
        answer := 'held';
    elsif coalesce(send_to, 'all') <> 'all' then
        why := 'Not sent: it would have gone out now, but '
            || case send_to when 'nobody' then 'nobody is texted from here (SMSRETRY_SEND_TO=nobody)'
                            else 'its number and its business are not listed (SMSRETRY_SEND_TO=listed)' end;
        why_code := 'not_listed';
        perform smsretry.close_row(retry, 'cancelled', why, why_code, null, at);
        answer := 'ended';
    else
        answer := 'go';
    end if;
end
$$;
