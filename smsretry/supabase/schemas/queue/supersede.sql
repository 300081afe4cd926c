-- The application's own processor has claimed a text, and now queues its next try. Its claim ends here, so that the text
-- keeps one live row. It counts one attempt more than the row that is held; a row that does not is the same text, queued twice,
-- and the claim stays. A row that our workers hold is left alone.
create or replace function smsretry.supersede(send_log_id uuid, attempt_count integer)
returns void language sql set search_path = pg_catalog, pg_temp as $$
    update public.sms_retry_queue q
    set status = 'failed', last_error = coalesce(q.last_error, 'Its next try is another row'), why_code = 'superseded',
        claimed_at = null, claimed_by_application = false, held_since = null, updated_at = smsretry.clock()
    where q.send_log_id = supersede.send_log_id and q.status = 'processing' and q.claimed_by_application
      and q.attempt_count < supersede.attempt_count
$$;

revoke all on function smsretry.supersede from public, anon, authenticated;
grant execute on function smsretry.supersede to service_role;
