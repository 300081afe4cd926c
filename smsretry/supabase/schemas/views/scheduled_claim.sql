-- A scheduled send as its claim will be once it is queued, for preview_sms_retries. Columns: smsretry.claimed_retry.
create or replace view smsretry.scheduled_claim with (security_invoker = true) as
select s.id, s.business_id, s.id as send_log_id, s.customer_id, 'pending'::text as status, 0 as attempt_count, 3 as max_attempts,
       s.scheduled_for, null::timestamptz as last_attempted_at, null::text as last_error, null::text as reason,
       s.created_at, s.updated_at, 0::bigint as claim_no, null::timestamptz as claimed_at, s.not_after as expires_at,
       s.held_since is not null or h.scheduled_id is not null as held, coalesce(h.why, s.why) as why, null::uuid as attempt_id, null::timestamptz as in_doubt_since,
       0 as reconcile_count, 0 as rate_limit_count, 0 as account_refusal_count, s.message_class,
       null::timestamptz as attempt_begun_at, null::text as sent_to, null::text as sent_body, null::text as sent_by,
       v.opened_at is not null or exists (select 1 from smsretry.circuit o where o.sender = '') as circuit_open,
       array(select t.state from smsretry.stopped_states t order by t.state) as stopped_states,
       true as send_log_found, left(s.body, smsretry.longest_body() + 1) as body, 'sms'::text as channel, false as log_says_sent,
       null::text as known_sid,
       c.id is not null as customer_found, left(c.phone, 40) as phone, left(c.timezone, 100) as timezone,
       left(c.sms_consent_status::text, 40) as sms_consent_status,
       left(b.timezone, 100) as business_timezone, left(b.sms_hours, 1000) as business_hours,
       smsretry.decided_by(c.phone, c.timezone, b.timezone, b.sms_hours, s.body, s.message_class,
                           array(select t.state from smsretry.stopped_states t order by t.state)) as decided_by,
       array[]::text[] as lost_sids,
       s.scheduled_for as due_since,
       array[]::text[] as other_bodies,
       v.opened_at as circuit_opened_at,
       null::timestamptz as business_circuit_opened_at, null::timestamptz as business_circuit_tried_at,
       false as suspects_wait,
       null::text as refused, null::text as doubted, null::timestamptz[] as texts_at,
       smsretry.longest_body() as longest_body, smsretry.masked(left(c.phone, 40)) as number,
       case when h.scheduled_id is not null then 'row_refused' else s.why_code end as why_code, null::text as refused_code,
       true as others_wait, v.sender, null::text as sent_account, array[]::text[] as lost_accounts,
       (select o.opened_at from smsretry.circuit o where o.sender = '') as provider_circuit_opened_at,
       true as sender_others_wait
from public.scheduled_sends s
left join smsretry.held_sends h on h.scheduled_id = s.id
left join public.customers c on c.id = s.customer_id and c.business_id is not distinct from s.business_id
left join public.businesses b on b.id = s.business_id
left join lateral smsretry.sender_now(s.business_id, s.message_class) v on true
where s.status = 'scheduled';

grant select on smsretry.scheduled_claim to service_role;
