-- The time in which this text may have gone out, and nothing here says so, because the database was restored from a backup
-- since. Null: there is none, or the text was looked for since and was not found. A text is older than the restore if its
-- row, its send log or its scheduled send is. A message that was found proves no other absent: a carrier may have lost it,
-- and the text may have been sent again. So only a look that found nothing counts, or a person's word.
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
          -- An array, so that an index finds them whatever is known of the tables.
          where a.retry_id = any (array(
                  select q.id from public.sms_retry_queue q where q.send_log_id = retry.send_log_id))
            and a.begun_at <= r.since and a.finished_at >= r.restored_at
            and a.outcome = 'not_sent' and a.settled_by in ('reconcile', 'operator'));
end
$$;
