-- A claimed row, with everything that decides about it. Row level security is the caller's. Columns
-- that only the application's own processor reads (status, reason, last_error, times, consent) are
-- here for its claim_due_sms_retries.
--   fingerprint: of what a decision to send is made from. If it is another one when the send
--     begins, decide again
create or replace view smsretry.claimed_retry with (security_invoker = true) as
select
    q.id,
    q.business_id,
    q.send_log_id,
    q.customer_id,
    q.status,
    q.attempt_count,
    q.max_attempts,
    q.scheduled_for,
    q.last_attempted_at,
    q.last_error,
    q.reason,
    q.created_at,
    q.updated_at,
    q.claim_no,
    q.claimed_at,
    q.expires_at,
    q.held_since is not null as held,
    q.why,
    q.why_code::text as why_code,
    q.message_class,
    q.attempt_id,
    q.in_doubt_since,
    q.reconcile_count,
    -- The send that a row is in doubt about. other_bodies: those of other sends to that number in
    -- doubt or under way, the nearest in time first. A message with those words is theirs.
    case
        when q.in_doubt_since is not null and a.id is not null
            then jsonb_build_object(
                'begun_at', a.begun_at,
                'phone', a.sent_to,
                'body', a.sent_body,
                'sent_by', a.sent_by,
                'account', a.sent_account,
                'other_bodies', array(
                    select o.sent_body
                    from public.sms_send_attempts o
                    where o.sent_to = a.sent_to
                      and o.id <> a.id
                      and o.sent_body <> coalesce(a.sent_body, '')
                    group by o.sent_body
                    order by
                        min(abs(extract(epoch from o.begun_at - a.begun_at))),
                        o.sent_body
                    limit 20
                )
            )
    end as attempt,
    l.id is not null as send_log_found,
    cut.body,
    left(l.channel::text, 40) as channel,
    smsretry.is_sent(l.provider_message_id, l.status::text) as log_says_sent,
    smsretry.found_sid(l.provider_message_id) as known_sid,
    c.id is not null as customer_found,
    cut.phone,
    cut.timezone,
    smsretry.consent(c.sms_consent_status::text) as sms_consent_status,
    cut.business_timezone,
    cut.business_hours,
    cut.business_cap,
    md5(
        row(
            cut.*,
            q.message_class,
            (select s.list from smsretry.stopped_states s),
            own.id
        )::text
    ) as fingerprint,
    -- since when it might have gone out
    greatest(q.scheduled_for, least(q.first_due_at, q.created_at)) as due_since,
    coalesce(lost.messages, '[]') as lost_messages,
    -- null: the default sender
    own.sender || jsonb_build_object('whose', left(b.name, 200)) as sender
from public.sms_retry_queue q
left join public.sms_send_attempts a on a.id = q.attempt_id
-- Consent is given to one business. Not by equality, here and below: without statistics PostgreSQL
-- might walk the business's index, which has all of its history.
left join public.send_logs l
    on l.id = q.send_log_id
      and l.business_id is not distinct from q.business_id
left join public.customers c
    on c.id = q.customer_id
      and c.business_id is not distinct from q.business_id
left join public.businesses b on b.id = q.business_id
-- Values are cut: a body of megabytes would cost the other rows of the claim.
cross join lateral (
    select
        left(l.subject, smsretry.longest_body() + 1) as body,
        left(c.phone, 40) as phone,
        left(c.timezone, 100) as timezone,
        left(b.timezone, 100) as business_timezone,
        left(b.sms_hours, 1000) as business_hours,
        b.sms_daily_cap as business_cap
) cut
left join lateral (
    select s.sender, s.id
    from smsretry.own_senders o
    join smsretry.claim_senders s on s.id = o.sender_id
    where o.business_id = q.business_id
      and o.message_class = q.message_class
    offset 0
) own
    on true
-- Undelivered messages of this text, newest first: the provider is asked once more before another
-- one leaves. Excused ones are left out: no carrier took them from their sender, so they cannot
-- arrive, and that sender's account may be closed by now. But the provider says since when its own
-- quiet hours keep one from arriving.
left join lateral (
    select jsonb_agg(
        jsonb_build_object('sid', m.twilio_sid, 'account', m.sent_account)
        order by m.begun_at desc
    ) as messages
    from public.sms_send_attempts m
    -- An array, so that an index finds them without statistics.
    where q.last_attempted_at is not null -- of an earlier row, too (smsretry.enter_queue)
      and m.retry_id = any (
        array(
            select r.id
            from public.sms_retry_queue r
            where r.send_log_id = q.send_log_id
        )
    )
      and smsretry.is_lost(m.delivery_status)
      and (
          not m.delivery_excused
          or q.why_code = 'quiet_hours' and q.error_code = m.delivery_code
      )
) lost
    on true;
