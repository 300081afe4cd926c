-- Texts that are over and that no evidence is still needed for. What pruning deletes of them, and counts, depends on their age.
create or replace view smsretry.prunable_texts with (security_invoker = true) as
select q.id, q.updated_at
from public.sms_retry_queue q
where q.work is null and (smsretry.earlier_doubt(q.send_log_id, q.business_id)).attempt_id is null;
