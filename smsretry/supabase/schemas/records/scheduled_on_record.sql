-- A scheduled send without a text, as explain_sms shows it, in the columns of smsretry.text_on_record. retry_id: its own id.
-- Times and classes that the application wrote are shown as far as they are valid.
create or replace view smsretry.scheduled_on_record with (security_invoker = true) as
select s.id as retry_id, s.business_id, left(b.name, 200) as business, s.customer_id, null::uuid as send_log_id,
       smsretry.masked(c.phone) as number, left(smsretry.numberless(left(c.timezone, 1000)), 100) as timezone, left(smsretry.numberless(left(b.timezone, 1000)), 100) as business_timezone,
       case s.message_class when 'transactional' then 'transactional' else 'marketing' end as message_class,
       case when s.status = 'scheduled' and s.held_since is not null then 'held' else s.status end as state,
       coalesce(smsretry.on_calendar(coalesce(s.held_since, s.updated_at)), smsretry.clock()) as since,
       left(smsretry.numberless(s.why), smsretry.longest_reason()) as why,
       null::integer as code,
       case when s.status = 'scheduled' then smsretry.on_calendar(greatest(s.scheduled_for, s.look_at)) end as next_at,
       smsretry.on_calendar(s.not_after) as expires_at,
       0 as attempts, 3 as max_attempts, coalesce(smsretry.on_calendar(s.created_at), smsretry.clock()) as queued_at,
       left(c.sms_consent_status::text, 40) as consent, smsretry.on_calendar(c.sms_consent_at) as consent_at,
       left(smsretry.numberless(c.sms_consent_source), 200) as consent_source,
       smsretry.on_calendar((select max(o.dated) from smsretry.standing_opt_outs o where o.number_key = smsretry.number_key(s.business_id, c.phone))) as opted_out_since,
       left(smsretry.numberless(c.phone_status::text), 40) as phone_status, null::text as send_log_status, null::text as sid,
       '[]'::jsonb as history, '[]'::jsonb as events,
       case when s.status = 'scheduled' then array['cancel'] else '{}' end::text[] as can,
       smsretry.clock() as asked_at,
       smsretry.unread_stop(c.phone) as stop_sid,
       s.why_code::text as why_code,
       case when o.sent_by like '+%' then o.id::text else o.sent_by end as sender_name,
       smsretry.shown_sender(o.sent_by) as sender, o.account,
       null::timestamptz as first_due_at, null::timestamptz as held_since, 0 as looks,
       coalesce(c.sms_consent_status::text = 'opted_out' and smsretry.start_takes_back(c.sms_consent_source::text, true), false) as needs_start,
       smsretry.on_calendar(s.scheduled_for) as planned_for, false as is_text
from public.scheduled_sends s
left join public.businesses b on b.id = s.business_id
left join public.customers c on c.id = s.customer_id and c.business_id = s.business_id
left join lateral smsretry.sender_of(s.business_id, s.message_class) o on true
where s.send_log_id is null and s.status in ('scheduled', 'cancelled', 'failed');
