-- What a change of a row means for its text's story. Its status is not processing afterwards.
--   deferred: waits for a reason that is no failure · given back: not tried, because the run stopped sending it · held
--   to be tried again: a send of it came to nothing · taken back: its worker fell silent before a send began
--   in doubt · looked for: found neither it nor its absence · not found: it counts as not gone out
--   failed, cancelled, completed · queued anew: after its end · put off: its time was moved while it waited
create or replace function smsretry.step_of(was public.sms_retry_queue, retry public.sms_retry_queue)
returns text language sql immutable set search_path = pg_catalog, pg_temp as $$
    select case
        when retry.status in ('failed', 'cancelled', 'completed') then retry.status
        when was.status in ('failed', 'cancelled', 'completed') then 'queued anew'
        when was.in_doubt_since is null and retry.in_doubt_since is not null then 'in doubt'
        when was.in_doubt_since is not null and retry.in_doubt_since is null then 'not found'
        when was.status = 'pending' then 'put off'
        when retry.recover_count > was.recover_count then 'taken back'
        when retry.held_since is not null then 'held'
        when retry.in_doubt_since is not null then 'looked for'
        when was.begun_at is not null or was.claimed_by_application then 'to be tried again'
        when retry.why is null and retry.scheduled_for = was.scheduled_for then 'given back'
        else 'deferred'
    end
$$;
