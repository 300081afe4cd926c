-- Live rows whose message may have left in the time that a restored backup has forgotten. Only a later look that found
-- nothing, or a person's word, clears it: a message that was found does not prove that no other
-- exists.
create or replace view smsretry.forgotten with (security_invoker = true) as
select q.id as retry_id, r.since, r.until
from public.sms_retry_queue q
cross join lateral (
    select
        min(r.since) as since,
        max(r.restored_at) as until
    from smsretry.restores r
    where smsretry.known_since(q.send_log_id, q.created_at) < r.restored_at
      and not exists (
          select from public.sms_send_attempts a
          -- An array, so that an index finds them without statistics.
          where a.retry_id = any (
              array(
                  select o.id
                  from public.sms_retry_queue o
                  where o.send_log_id = q.send_log_id
              )
          )
            and a.begun_at <= r.since
            and a.finished_at >= r.restored_at
            and a.outcome = 'not_sent'
            and a.settled_by in ('reconcile', 'operator')
      )
) r
where q.status in ('pending', 'processing')
  and r.since is not null;
