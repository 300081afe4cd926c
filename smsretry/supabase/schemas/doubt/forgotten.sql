-- The time in which this text may have gone out unrecorded, because the database was restored from a backup; nulls: there is
-- none. A text is older than the restore if its row, send log or scheduled send is. Only a later look that found nothing, or
-- a person's word, clears it: a message that was found does not prove that no other exists.
create or replace function smsretry.forgotten(
    retry public.sms_retry_queue, out since timestamptz, out until timestamptz, out who text, out because text
)
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
begin
    if not exists (select 1 from smsretry.restores) -- on most days this is all
        or not exists (select 1 from public.customers c -- nobody can have texted a customer without a number
                       where c.id = retry.customer_id and coalesce(btrim(c.phone), '') <> '') then
        return;
    end if;
    select min(r.since), max(r.restored_at), max(r.who), max(r.because) into since, until, who, because
    from smsretry.restores r
    where (retry.created_at < r.restored_at
           or exists (select 1 from public.send_logs l
                      where l.id = retry.send_log_id and l.created_at < r.restored_at)
           or exists (select 1 from public.scheduled_sends s
                      where s.id = retry.send_log_id and s.created_at < r.restored_at))
      and not exists (
          select 1 from public.sms_send_attempts a
          -- An array, so that an index finds them without statistics.
          where a.retry_id = any (array(
                  select q.id from public.sms_retry_queue q where q.send_log_id = retry.send_log_id))
            and a.begun_at <= r.since and a.finished_at >= r.restored_at
            and a.outcome = 'not_sent' and a.settled_by in ('reconcile', 'operator'));
end
$$;
