-- Where the application had an sms_retry_queue before: what its own processor was sending. Nobody knows whether those texts
-- went out, so their sends are begun, and recovery puts them in doubt. Written by hand. A new database has none.
with claimed as (
    update public.sms_retry_queue q
    set claim_no = q.claim_no + 1, attempt_id = gen_random_uuid(),
        claimed_at = coalesce(q.last_attempted_at, q.updated_at, smsretry.clock()),
        begun_at = coalesce(q.last_attempted_at, q.updated_at, smsretry.clock())
    where q.status = 'processing' and q.claimed_at is null
    returning q.*
)
insert into public.sms_send_attempts (
    id, retry_id, attempt_number, claim_no, begun_at, number_key, sent_to, sent_body, worker_died)
select q.attempt_id, q.id, greatest(q.attempt_count, 1), q.claim_no, q.begun_at,
       smsretry.number_key(q.business_id, c.phone), c.phone, left(l.subject, 1601), true
from claimed q
left join public.customers c on c.id = q.customer_id
left join public.send_logs l on l.id = q.send_log_id;
