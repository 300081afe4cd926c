-- What a claim hands to its worker: a row with everything that decides about it. security_invoker, so that row level
-- security is the caller's.
create or replace view smsretry.claimed_retry with (security_invoker = true) as
select q.id, q.business_id, q.send_log_id, q.customer_id, q.status, q.attempt_count, q.max_attempts,
       q.scheduled_for, q.last_attempted_at, q.last_error, q.reason, q.created_at, q.updated_at,
       q.claim_no, q.claimed_at, q.expires_at,
       q.attempt_id, q.in_doubt_since, q.reconcile_count, q.rate_limit_count, q.message_class,
       (select a.begun_at from public.sms_send_attempts a where a.id = q.attempt_id) as attempt_begun_at,
       exists (select 1 from smsretry.circuit) as circuit_open,
       array(select s.state from smsretry.stopped_states s order by s.state) as stopped_states,
       l.id is not null as send_log_found, l.subject as body, l.status as send_log_status,
       l.provider_message_id ->> 'twilio_sid' as known_sid,
       c.id is not null as customer_found, c.phone, c.timezone, c.sms_consent_status,
       b.timezone as business_timezone, b.sms_hours as business_hours
from public.sms_retry_queue q
left join public.send_logs l on l.id = q.send_log_id
left join public.customers c on c.id = q.customer_id
left join public.businesses b on b.id = q.business_id;

grant select on smsretry.claimed_retry to service_role;
