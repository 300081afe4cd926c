-- A text and all that is known of it, as people see it; a column more is one here. Holds only the
-- last four digits of a number, also where the application wrote freely, and times and classes as
-- far as they are valid. Row level security is the reader's.
--   kind:
--     row: of the queue
--     scheduled send: that is no text yet
--     send log: of a text that the queue never had, or has no more
--   state: smsretry.text_state
--   since: when that began
--   next_at: when it is looked at again
--   needs_person: it waits for a person, also one in doubt
--   can: the desk's commands that the database permits for it; the desk decides which it advises;
--     explain: look at its next try, which is another row of the same text
--   steps: its sends, with that it is in doubt about, and what became of each; smsretry.events of
--     the text, and of its customer and business since then, with the last before it; what the
--     number wrote
--   stop_sid: of the number's first text that may mean stop and is unread
--   sender: what it goes out from
--   sender_name: the sender in a command; of a number its id
create or replace view smsretry.text_on_record with (security_invoker = true) as
select
    t.kind,
    t.retry_id,
    t.business_id,
    left(b.name, 200) as business,
    t.customer_id,
    t.send_log_id,
    smsretry.masked(left(c.phone, 40)) as number,
    left(smsretry.numberless(left(c.timezone, 1000)), 100) as timezone,
    left(smsretry.numberless(left(b.timezone, 1000)), 100) as business_timezone,
    t.message_class,
    t.status,
    t.state,
    coalesce(smsretry.on_calendar(t.since), smsretry.clock()) as since,
    left(smsretry.numberless(left(t.why, 2000)), smsretry.longest_reason()) as why,
    coalesce(
        t.why_code,
        case when t.state in ('failed', 'cancelled') then 'application' end
    ) as why_code,
    t.code,
    smsretry.on_calendar(t.next_at) as next_at,
    smsretry.on_calendar(t.expires_at) as expires_at,
    smsretry.on_calendar(planned.scheduled_for) as planned_for,
    t.first_due_at,
    t.needs_person,
    t.attempts,
    t.max_attempts,
    coalesce(smsretry.on_calendar(t.created_at), smsretry.clock()) as queued_at,
    t.updated_at,
    smsretry.clock() as asked_at,
    left(c.sms_consent_status::text, 40) as consent,
    smsretry.on_calendar(c.sms_consent_at) as consent_at,
    left(
        smsretry.numberless(left(c.sms_consent_source, 1000)),
        200
    ) as consent_source,
    case
        when (o.word).said = 'opted_out' then smsretry.on_calendar((o.word).dated)
    end as opted_out_since,
    coalesce(
        smsretry.consent(c.sms_consent_status::text) = 'opted_out'
        and smsretry.start_takes_back(c.sms_consent_source::text, true),
        false
    ) as needs_start,
    case when (o.word).said = 'unsure' then (o.word).twilio_sid end as stop_sid,
    left(smsretry.numberless(left(c.phone_status::text, 1000)), 40) as phone_status,
    left(smsretry.numberless(left(l.status::text, 1000)), 40) as send_log_status,
    left(smsretry.numberless(smsretry.found_sid(l.provider_message_id)), 40) as sid,
    (
        select smsretry.shown_sender(o.sent_by)
        from smsretry.sender_of(t.business_id, t.message_class) o
    ) as sender,
    (
        select case when o.sent_by like '+%' then o.id::text else o.sent_by end
        from smsretry.sender_of(t.business_id, t.message_class) o
    ) as sender_name,
    coalesce(
        (
            select case
                    when l.id is null or c.id is null then '{}'
                    when q.status in ('failed', 'cancelled')
                        then case
                            when smsretry.left_alone(
                                'requeue',
                                q,
                                l,
                                smsretry.clock()
                            ) is null
                                then array['requeue']
                            when smsretry.is_sent(l.provider_message_id, l.status::text)
                              and not smsretry.is_undelivered(l.id, l.provider_message_id)
                                then '{}'
                            when (
                                smsretry.earlier_doubt(q.send_log_id, q.business_id)
                            ).attempt_id is not null
                                then array['resolve']
                            else array['explain']
                        end
                    when q.status = 'pending'
                        then array[
                            case
                                when q.in_doubt_since is null then 'cancel'
                                else 'resolve'
                            end
                        ]
                            || case
                                when smsretry.left_alone(
                                    'look',
                                    q,
                                    l,
                                    smsretry.clock()
                                ) is null
                                    then array['look-again']
                                else '{}'
                            end
                    else '{}'
                end
            from public.sms_retry_queue q
            where q.id = t.retry_id
        ),
        case when t.status = 'scheduled' then array['cancel'] else '{}' end
    ) as can,
    (
        select coalesce(
            jsonb_agg(
                jsonb_strip_nulls(story.step) || jsonb_build_object('at', story.at)
                order by story.at, story.place
            ),
            '[]'
        )
        from (
            select x.place, x.at, x.step
            from (
                select
                    row_number() over (order by a.begun_at) as send,
                    a.begun_at,
                    a.finished_at,
                    a.outcome,
                    a.settled_by,
                    a.attempt_number,
                    a.error_code,
                    a.twilio_sid,
                    a.sent_by,
                    a.quiet_hours_rule,
                    a.consent_status,
                    a.run_id,
                    a.worker_died,
                    a.delivery_status,
                    a.delivery_at,
                    a.delivery_code
                from public.sms_send_attempts a
                where a.retry_id = t.retry_id or a.id = t.attempt_id
            ) a
            cross join lateral (
                values
                    (
                        0,
                        a.begun_at,
                        jsonb_build_object(
                            'what', coalesce(a.outcome, 'under_way'),
                            'send', a.send,
                            'number', nullif(a.attempt_number, 0),
                            'code', a.error_code,
                            'sid', a.twilio_sid,
                            'sender', smsretry.shown_sender(a.sent_by),
                            'rule', a.quiet_hours_rule,
                            'consent', a.consent_status,
                            'run_id', a.run_id,
                            'because', case
                                when a.worker_died then 'its worker died'
                            end
                        )
                    ),
                    (
                        0,
                        case when a.settled_by <> 'response' then a.finished_at end,
                        jsonb_build_object(
                            'what', a.outcome,
                            'send', a.send,
                            'settled_by', a.settled_by
                        )
                    ),
                    (
                        0,
                        case
                            when a.delivery_status is not null then a.delivery_at
                        end,
                        jsonb_build_object(
                            'what', a.delivery_status,
                            'send', a.send,
                            'settled_by', 'callback',
                            'code', a.delivery_code
                        )
                    )
            ) x (place, at, step)
            -- the same words went to the same number within a day of one of its sends
            union all
            select
                0,
                o.begun_at,
                jsonb_build_object(
                    'what', 'same_words_went_out',
                    'row', o.retry_id,
                    'minutes', round(
                        abs(extract(epoch from o.begun_at - a.begun_at)) / 60
                    )::text
                )
            from public.sms_send_attempts a
            join public.sms_send_attempts o
                on o.number_key = a.number_key
                  and o.begun_at between a.begun_at - interval '1 day' and a.begun_at + interval '1 day'
            join public.sms_retry_queue r on r.id = o.retry_id
            join public.send_logs m on m.id = r.send_log_id
            where a.retry_id = t.retry_id
              and a.twilio_sid is not null
              and o.twilio_sid is not null
              and o.retry_id <> a.retry_id
              and m.subject = l.subject
            union all
            (
                select
                    0,
                    i.at,
                    jsonb_build_object(
                        'what', 'they_wrote',
                        'sid', i.twilio_sid,
                        'to', i.written_to,
                        'taken_for', case i.source
                            when 'inbound_start' then 'START'
                            when 'inbound_yes' then 'YES'
                            when 'inbound_unsure' then 'unsure'
                            else 'STOP'
                        end,
                        'received_by', coalesce(
                            (
                                select string_agg(distinct left(h.name, 200), ', ')
                                from smsretry.consents w
                                join public.businesses h on h.id = w.business_id
                                where w.twilio_sid = i.twilio_sid
                            ),
                            'no business'
                        )
                    )
                from smsretry.consents i
                where i.subject_key = smsretry.number_key(null, c.phone)
                  and i.twilio_sid is not null
                order by i.id desc
                limit 20
            )
            union all
            select
                e.id,
                e.at,
                jsonb_build_object('what', e.code, 'who', nullif(e.who, 'smsretry'))
                    || e.detail
            from (
                (
                    select n.*
                    from smsretry.events n
                    where n.about = t.retry_id
                    order by n.id desc
                    limit 200
                )
                union all
                (
                    select n.*
                    from smsretry.events n
                    where n.about in (t.customer_id, t.business_id)
                    order by n.id desc
                    limit 100
                )
            ) e
            where e.code <> 'not_found' -- the send that counts as not sent says it
              and (
                  e.about = t.retry_id
                  or e.at >= coalesce(
                      (
                          select max(y.at)
                          from smsretry.events y
                          where y.about = e.about
                            and y.code = e.code
                            and y.at < t.created_at
                      ),
                      t.created_at
                  )
              )
        ) story
        where story.at is not null
    ) as steps
from (
    select
        'row' as kind,
        q.id as retry_id,
        q.business_id,
        q.customer_id,
        q.send_log_id,
        q.attempt_id,
        q.message_class,
        q.status,
        smsretry.text_state(q, smsretry.clock()) as state,
        coalesce(q.in_doubt_since, q.held_since, q.updated_at) as since,
        case
            when q.status in ('failed', 'cancelled') then q.last_error
            else coalesce(q.why, q.last_error)
        end as why,
        q.why_code::text,
        q.error_code as code,
        case when q.status = 'pending' then q.scheduled_for end as next_at,
        q.expires_at,
        q.first_due_at,
        q.held_since is not null as needs_person,
        q.attempt_count as attempts,
        q.max_attempts,
        q.created_at,
        q.updated_at
    from public.sms_retry_queue q
    union all
    select
        'scheduled send',
        s.id,
        s.business_id,
        s.customer_id,
        null,
        null,
        case s.message_class
            when 'transactional' then 'transactional'
            else 'marketing'
        end,
        s.status,
        smsretry.planned_state(s),
        coalesce(s.held_since, s.updated_at),
        s.why,
        s.why_code::text,
        null,
        case
            when s.status = 'scheduled' then greatest(s.scheduled_for, s.look_at)
        end,
        s.not_after,
        null,
        s.held_since is not null,
        0,
        3,
        s.created_at,
        s.updated_at
    from public.scheduled_sends s
    where s.send_log_id is null
      and s.status in ('scheduled', 'cancelled', 'failed')
    union all
    select
        'send log',
        l.id,
        l.business_id,
        l.customer_id,
        l.id,
        null,
        'marketing',
        l.status::text,
        case
            when smsretry.is_sent(l.provider_message_id, l.status::text) then 'sent'
            else 'not_queued'
        end,
        coalesce(l.updated_at, l.created_at),
        l.error_message,
        null,
        null,
        null,
        null,
        null,
        false,
        0,
        3,
        l.created_at,
        l.updated_at
    from public.send_logs l
    where l.channel::text = 'sms'
      and not exists (
          select from public.sms_retry_queue q
          where q.send_log_id = l.id
      )
      and not exists (
          select from public.scheduled_sends s
          where s.id = l.id and s.send_log_id is null
      )
) t
left join public.businesses b on b.id = t.business_id
left join public.customers c
    on c.id = t.customer_id
      and c.business_id is not distinct from t.business_id
left join public.send_logs l on l.id = t.send_log_id
left join public.scheduled_sends planned
    on planned.id = coalesce(t.send_log_id, t.retry_id)
      and planned.business_id is not distinct from t.business_id
left join lateral (
    select a.word
    from smsretry.objections(array[t.business_id], array[c.phone::text], array[c.id]) a
    limit 1 -- the hardest to take back
) o
    on true;
