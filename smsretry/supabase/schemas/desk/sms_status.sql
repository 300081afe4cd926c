-- Sum up for a person what is in the queue, what went out and ended lately, what needs attention,
-- and the last runs, as one object:
--   at: the database's time
--   late: smsretry.late_since, and what is due by when is late
--   states, sends, hours, undelivered: the functions status_of_…, which say what they count
--   held: what waits for a person, a row a reason, the rarest first; code: the provider's (0: without
--     one), where it is what somebody must mend; why: of most of them; since: when the first of them
--     was held; business_id, business: of a single one; retry_id: one of them
--   ended: what failed or was cancelled in a day, by reason, the most texts first; why: of most of
--     them
--   senders: sms_senders that have trouble, those with the most texts first
--   unread: customers in smsretry.unread_words
--   stops: smsretry.stopped; what is sending (everybody's), default_sender, state or business
--     (these two by a person)
--   mark: what the database is marked as
--   send_to: whom the last run's worker texts
--   runs: the last five
create or replace function public.sms_status()
returns jsonb
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_generic_plan set enable_seqscan = off set jit = off
as $$ -- without statistics the planner would read all attempts
declare
    v_now constant timestamptz := smsretry.clock();
    v_late constant timestamptz := v_now - smsretry.late_after();
begin
    return jsonb_build_object(
        'at', v_now,
        'late', array(
            select to_jsonb(l) || jsonb_build_object('due_by', v_late)
            from smsretry.late_since(v_late) l
        ),
        'states', array(select to_jsonb(s) from smsretry.status_of_states(v_now) s),
        'held', array(
            select to_jsonb(r) || jsonb_build_object('business', left(b.name, 200))
            from (
                select
                    h.state,
                    h.why_code,
                    h.code,
                    mode() within group (order by h.why) as why,
                    count(*) as texts,
                    min(h.since) as since,
                    count(distinct h.business_id) as businesses,
                    case
                        when count(distinct h.business_id) = 1
                            then min(h.business_id::text)::uuid
                    end as business_id,
                    min(h.id::text) as retry_id
                from (
                    select
                        smsretry.text_state(q, v_now) as state,
                        q.business_id,
                        q.why_code::text as why_code,
                        case
                            when q.why_code in ('account_refused', 'destination_refused')
                                then coalesce(q.error_code, 0)
                        end as code,
                        left(smsretry.numberless(left(q.why, 500)), 200) as why,
                        q.held_since as since,
                        q.id
                    from public.sms_retry_queue q
                    where q.id = any (
                        array(
                            -- by their index: a million rows may wait
                            select n.id
                            from public.sms_retry_queue n
                            where n.work is not null and n.held_since is not null
                        )
                    )
                    union all
                    select
                        smsretry.planned_state(s),
                        s.business_id,
                        s.why_code::text,
                        null,
                        left(smsretry.numberless(left(s.why, 500)), 200),
                        s.held_since,
                        s.id
                    from public.scheduled_sends s
                    where s.status = 'scheduled'
                      and s.send_log_id is null
                      and s.held_since is not null
                ) h
                where h.state in ('held', 'in_doubt')
                group by h.state, h.why_code, h.code
            ) r
            left join public.businesses b on b.id = r.business_id
            order by r.texts, r.since
        ),
        'ended', array(
            select jsonb_build_object(
                'state', e.state,
                'why_code', e.why_code,
                'why', smsretry.numberless(mode() within group (order by left(e.why, 200))),
                'texts', count(*)
            )
            from smsretry.ended_texts(v_now - interval '1 day', v_now) e
            group by e.state, e.why_code
            order by e.state desc, count(*) desc
        ),
        'senders', array(
            select to_jsonb(s)
            from public.sms_senders(troubled => true) s
            where s.why_code is not null
              and (s.why_code <> 'day_spent' or s.used_today >= s.segments_per_day)
              and (
                  s.named_at is not null and s.why_code <> 'sending_stopped'
                  or exists (
                      select from smsretry.business_senders b
                      where b.sender_id = s.sender_id
                  )
              )
            order by s.due + s.waiting + s.held desc, s.sender_id
        ),
        'unread', (
            select jsonb_build_object(
                'customers', count(distinct w.customer_id),
                'since', min(w.received_at)
            )
            from smsretry.unread_words w
            having count(*) > 0
        ),
        'stops', array(
            select jsonb_build_object(
                'what', case
                    when s.kind in ('state', 'business_stopped')
                        then split_part(s.kind, '_', 1)
                    when s.kind = 'sender'
                      and exists (select from smsretry.business_senders)
                        then 'default_sender'
                    else 'sending'
                end,
                'subject', s.subject,
                'business', left(b.name, 200),
                'since', s.since,
                'why', s.why,
                'who', s.who,
                'sender', case
                    when e.sent_by like '+%' then e.id::text
                    else e.sent_by
                end
            )
            from smsretry.stopped s
            left join smsretry.senders e
                on s.kind = 'sender' and e.id::text = s.subject
            left join public.businesses b
                on s.kind = 'business_stopped' and b.id::text = s.subject
            where s.kind in ('everybody', 'state', 'business_stopped')
              or e.id = (smsretry.sender_of(null, null)).id
            order by s.kind in ('state', 'business_stopped'), s.subject, s.since
        ),
        'mark', (
            select jsonb_build_object(
                'kind', m.kind,
                'since', m.marked_at,
                'address', m.address
            )
            from smsretry.mark m
        ),
        'send_to', (
            select r.send_to
            from smsretry.runs r
            order by r.started_at desc
            limit 1
        ),
        'runs', array(
            select jsonb_build_object(
                'id', r.id,
                'started_at', r.started_at,
                'finished_at', r.finished_at,
                'summary', coalesce(
                    r.summary,
                    case
                        when r.interrupted_at is not null then 'It was interrupted'
                        else 'It is under way'
                    end
                )
            )
            from smsretry.runs r
            order by r.started_at desc
            limit 5
        )
    )
        || smsretry.status_of_sends(v_now);
end
$$;
