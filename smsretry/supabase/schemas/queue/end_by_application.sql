-- Believe the application what became of its own claim, although that ran out and put the text in
-- doubt: it was sent, or it failed. security definer, because whoever writes that may not change
-- attempts.
create or replace function smsretry.end_by_application()
returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
    update public.sms_send_attempts a
    set
        outcome = case new.status when 'completed' then 'accepted' else 'rejected' end,
        finished_at = smsretry.clock(),
        settled_by = 'application',
        sent_to = null,
        sent_body = null
    where a.id = new.attempt_id and a.outcome = 'in_doubt';
    new.attempt_id := null;
    new.in_doubt_since := null;
    new.held_since := null;
    new.claimed_at := null;
    new.claimed_by_application := false;
    return new;
end
$$;
