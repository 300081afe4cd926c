-- A scheduled send as its claim will be once it is queued, for preview_sms_retries. Columns: smsretry.claimed_retry.
create or replace view smsretry.scheduled_claim with (security_invoker = true) as
select s.id, s.business_id, s.id as send_log_id, s.customer_id, 'pending'::text as status, 0 as attempt_count, 3 as max_attempts,
       s.scheduled_for, null::timestamptz as last_attempted_at, null::text as last_error, null::text as reason,
       s.created_at, s.updated_at, 0::bigint as claim_no, null::timestamptz as claimed_at, s.not_after as expires_at,
       s.held_since is not null as held, s.why, s.why_code::text as why_code, s.message_class,
       null::uuid as attempt_id, null::timestamptz as in_doubt_since, 0 as reconcile_count,
       null::timestamptz as attempt_begun_at, null::text as sent_to, null::text as sent_body, null::text as sent_by, null::text as sent_account,
       array[]::text[] as other_bodies,
       true as send_log_found, left(s.body, smsretry.longest_body() + 1) as body, 'sms'::text as channel, false as log_says_sent,
       null::text as known_sid,
       c.id is not null as customer_found, left(c.phone, 40) as phone, left(c.timezone, 100) as timezone,
       left(c.sms_consent_status::text, 40) as sms_consent_status,
       left(b.timezone, 100) as business_timezone, left(b.sms_hours, 1000) as business_hours, null::text as decided_by,
       s.scheduled_for as due_since, array[]::text[] as lost_sids, array[]::text[] as lost_accounts, smsretry.told_sender(o) as sender
from public.scheduled_sends s
left join public.customers c on c.id = s.customer_id and c.business_id is not distinct from s.business_id
left join public.businesses b on b.id = s.business_id
left join lateral smsretry.sender_of(s.business_id, s.message_class) o on true
where s.status = 'scheduled';
