-- A text and all that is known of it, as explain_sms shows it. Holds only the last four digits of a number, also where the
-- application wrote freely. security_invoker, so that row level security is the reader's.
--   state: smsretry.text_state · since: when that began · next_at: when it is looked at again · history: its attempts, and
--   the one it is in doubt about · events: smsretry.events, of the text and of its customer since then, and the last before it · can: the calls that help · stop_sid: smsretry.unread_stop
--   looks: for evidence, that found nothing
--   sender, account: what it goes out from, as people see it · sender_name: what names it in a command, of a number its id
create or replace view smsretry.text_on_record with (security_invoker = true) as
select q.id as retry_id, q.business_id, left(b.name, 200) as business, q.customer_id, q.send_log_id,
       smsretry.masked(c.phone) as number, left(smsretry.numberless(left(c.timezone, 1000)), 100) as timezone, left(smsretry.numberless(left(b.timezone, 1000)), 100) as business_timezone,
       q.message_class, smsretry.text_state(q, smsretry.clock()) as state,
       coalesce(q.in_doubt_since, q.held_since, q.updated_at) as since,
       left(smsretry.numberless(
           case when q.status in ('failed', 'cancelled') then q.last_error else coalesce(q.why, q.last_error) end), smsretry.longest_reason()) as why,
       q.error_code as code, case when q.status = 'pending' then q.scheduled_for end as next_at, q.expires_at,
       q.attempt_count as attempts, q.max_attempts, q.created_at as queued_at,
       left(c.sms_consent_status::text, 40) as consent, smsretry.on_calendar(c.sms_consent_at) as consent_at,
       left(smsretry.numberless(c.sms_consent_source), 200) as consent_source,
       smsretry.on_calendar((select max(o.dated) from smsretry.standing_opt_outs o where o.number_key = smsretry.number_key(q.business_id, c.phone))) as opted_out_since,
       left(smsretry.numberless(c.phone_status::text), 40) as phone_status,
       left(smsretry.numberless(l.status::text), 40) as send_log_status,
       left(smsretry.numberless(smsretry.found_sid(l.provider_message_id)), 40) as sid,
       coalesce((select jsonb_agg(jsonb_build_object(
                     'begun_at', a.begun_at, 'finished_at', a.finished_at, 'number', a.attempt_number,
                     'outcome', coalesce(a.outcome, 'under_way'), 'settled_by', a.settled_by, 'code', a.error_code,
                     'sid', a.twilio_sid, 'rule', a.quiet_hours_rule, 'consent', a.consent_status,
                     'worker_died', a.worker_died, 'run_id', a.run_id, 'delivery', a.delivery_status,
                     'delivery_code', a.delivery_code, 'delivery_at', a.delivery_at,
                     'sender', smsretry.shown_sender(a.sent_by)) order by a.begun_at)
                 from public.sms_send_attempts a where a.retry_id = q.id or a.id = q.attempt_id), '[]') as history,
       coalesce((select jsonb_agg(jsonb_build_object('at', e.at, 'code', e.code, 'who', e.who) || e.detail order by e.id)
                 from ((select n.* from smsretry.events n where n.about = q.id order by n.id desc limit 200)
                       union all
                       (select n.* from smsretry.events n where n.about = q.customer_id order by n.id desc limit 100)) e
                 where e.about = q.id or e.at >= coalesce(
                     (select max(y.at) from smsretry.events y
                      where y.about = q.customer_id and y.code = e.code and y.at < q.created_at), q.created_at)), '[]') as events,
       smsretry.calls_that_help(q, l, c) as can,
       smsretry.clock() as asked_at,
       smsretry.unread_stop(c.phone) as stop_sid, q.why_code::text as why_code,
       case when o.sent_by like '+%' then o.id::text else o.sent_by end as sender_name,
       smsretry.shown_sender(o.sent_by) as sender, o.account,
       -- It could not go out before it was queued, unless it was planned.
       case when q.first_due_at < q.created_at and p.id is null then q.created_at else q.first_due_at end as first_due_at, q.held_since, q.reconcile_count as looks,
       coalesce(c.sms_consent_status::text = 'opted_out' and smsretry.start_takes_back(c.sms_consent_source::text, true), false) as needs_start,
       smsretry.on_calendar(p.scheduled_for) as planned_for, true as is_text
from public.sms_retry_queue q
left join public.businesses b on b.id = q.business_id
left join public.customers c on c.id = q.customer_id
left join public.send_logs l on l.id = q.send_log_id
left join public.scheduled_sends p on p.id = q.send_log_id and p.business_id is not distinct from q.business_id
left join lateral smsretry.sender_of(q.business_id, q.message_class) o on true;
