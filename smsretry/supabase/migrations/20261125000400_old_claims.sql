-- What an old worker was sending when its installation was adopted: its attempts, which the adoption could not write
-- before there was a table for them. Written by hand. A new database has none.

insert into public.sms_send_attempts (
    id, retry_id, attempt_number, claim_no, begun_at, number_key, sent_to, sent_body, worker_died, finished_at, outcome)
select q.attempt_id, q.id, greatest(q.attempt_count, 1), q.claim_no, coalesce(q.begun_at, q.claimed_at),
       smsretry.number_key(q.business_id, c.phone), c.phone, left(l.subject, 1601), true,
       case when q.status = 'cancelled' then smsretry.clock() end, case when q.status = 'cancelled' then 'in_doubt' end
from public.sms_retry_queue q
left join public.customers c on c.id = q.customer_id
left join public.send_logs l on l.id = q.send_log_id
where (q.begun_at is not null or q.status = 'cancelled') and q.attempt_id is not null and q.claimed_at is not null
  and not exists (select 1 from public.sms_send_attempts a where a.id = q.attempt_id);

-- A duplicate that may have been sent: its attempt stays on record as in doubt, and its row has ended.
update public.sms_send_attempts a
set outcome = 'in_doubt', finished_at = smsretry.clock()
from public.sms_retry_queue q
where q.attempt_id = a.id and q.status = 'cancelled' and a.finished_at is null;

update public.sms_retry_queue q
set claimed_at = null, attempt_id = null, in_doubt_since = null
where q.status = 'cancelled' and q.attempt_id is not null and q.last_error like 'Duplicate of row %';
