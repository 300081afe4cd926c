-- End the claim of a text whose next try the application's own processor queues, or the doubt that
-- the claim ran out into, so that one live row remains. The new row counts more attempts; otherwise
-- it is the same text queued twice, and the claim stays. It stays, too, if the new row is another
-- business's, which may name any send log.
create or replace function smsretry.supersede(
    send_log_id uuid,
    business_id uuid,
    attempt_count integer
)
returns void
language sql set search_path = pg_catalog, pg_temp as $$
    update public.sms_retry_queue q
    set
        status = 'failed',
        last_error = coalesce(q.last_error, 'Its next try is another row'),
        why_code = 'superseded',
        claimed_at = null,
        claimed_by_application = false,
        held_since = null,
        updated_at = smsretry.clock()
    where q.send_log_id = supersede.send_log_id
      and q.business_id = supersede.business_id
      -- is true: by its text alone; with old statistics an index of all claims is walked
      and (
          q.status in ('pending', 'processing')
          and q.claimed_by_application
          and q.attempt_count < supersede.attempt_count
              + (q.in_doubt_since is not null)::integer -- recovery has counted it
      ) is true
$$;
