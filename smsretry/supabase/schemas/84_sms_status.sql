-- For a person: what is in the queue now, what went out and what ended lately, what is stopped, and the last runs.
--   part: clock (oldest: what the database's clock says) · scheduled (no texts yet; name: waiting, held or late) ·
--   queue (name: a state) · waiting (why, as a category) · held (what for, a line a business) · sent, by outcome, in the last
--   hour · delivery and delivery_lately: texts accepted in the last day, and of those in the last hour, by what became of them
--   (delivered, undelivered, unknown or open) · undelivered in the last day (name: Twilio's code, a line a business) · ended,
--   failed or cancelled, by error, in the last day · stopped (sending, or a US state) · run
-- oldest and next_at: of a queue's line, the earliest due time and the next; of others, when it began.
create or replace function public.sms_status()
returns table (part text, name text, business_id uuid, texts bigint, oldest timestamptz, next_at timestamptz, told text)
language plpgsql stable security invoker set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
declare
    v_now constant timestamptz := smsretry.clock();
begin
    return query
    with live as materialized (
        -- As smsretry.text_state has it, which is too dear for each of 200,000 rows.
        select case when q.in_doubt_since is not null then 'in_doubt'
                    when q.status = 'processing' then 'under_way'
                    when q.held_since is not null then 'held'
                    when q.scheduled_for <= v_now then 'due'
                    else 'waiting' end as state,
               coalesce(q.reason, case when q.attempt_count > 0 then 'twilio_error' else 'none' end) as category,
               count(*) as texts, min(q.scheduled_for) as oldest,
               min(q.scheduled_for) filter (where q.scheduled_for > v_now) as next_at
        from public.sms_retry_queue q where q.status in ('pending', 'processing')
        group by 1, 2
    ),
    reported as materialized (
        select a.delivery_status, a.begun_at > v_now - interval '1 hour' as lately, count(*) as texts
        from public.sms_send_attempts a
        where a.begun_at > v_now - interval '1 day' and a.twilio_sid is not null
        group by 1, 2
    ),
    accepted as (
        select case when smsretry.delivery_rank(r.delivery_status) >= 7 then 'delivered'
                    when smsretry.delivery_rank(r.delivery_status) = 6 then 'undelivered'
                    when r.delivery_status = 'unknown' then 'unknown'
                    else 'open' end as fate,
               r.lately, r.texts
        from reported r
    )
    (select 'clock', '', null::uuid, null::bigint, v_now, null::timestamptz, null::text)
    union all
    (select 'scheduled', case when s.held_since is not null then 'held' when s.scheduled_for <= v_now then 'late' else 'waiting' end,
            null::uuid, count(*), min(s.scheduled_for), min(s.scheduled_for) filter (where s.scheduled_for > v_now), null::text
     from public.scheduled_sends s where s.status = 'scheduled' group by 2 order by 2)
    union all
    (select 'queue', l.state, null::uuid, sum(l.texts)::bigint, min(l.oldest), min(l.next_at), null::text
     from live l group by l.state order by l.state)
    union all
    (select 'waiting', l.category, null::uuid, l.texts, l.oldest, l.next_at, null::text
     from live l where l.state = 'waiting' order by l.category)
    union all
    (select 'held', left(q.why, 200), q.business_id, count(*), min(q.held_since), min(q.scheduled_for), b.name
     from public.sms_retry_queue q left join public.businesses b on b.id = q.business_id
     where q.held_since is not null and q.status in ('pending', 'processing')
     group by left(q.why, 200), q.business_id, b.name order by count(*) desc limit 50)
    union all
    (select 'sent', coalesce(a.outcome, 'under_way'), null::uuid, count(*), min(a.begun_at), null::timestamptz, null::text
     from public.sms_send_attempts a where a.begun_at > v_now - interval '1 hour' group by 2 order by 2)
    union all
    (select 'delivery', d.fate, null::uuid, sum(d.texts)::bigint, null::timestamptz, null::timestamptz, null::text
     from accepted d group by d.fate order by d.fate)
    union all
    (select 'delivery_lately', d.fate, null::uuid, sum(d.texts)::bigint, null::timestamptz, null::timestamptz, null::text
     from accepted d where d.lately group by d.fate order by d.fate)
    union all
    (select 'undelivered', coalesce(a.delivery_code::text, 'without a code'), q.business_id, count(*), min(a.delivery_at),
            null::timestamptz, b.name
     from public.sms_send_attempts a
     join public.sms_retry_queue q on q.id = a.retry_id
     left join public.businesses b on b.id = q.business_id
     where a.begun_at > v_now - interval '1 day' and a.twilio_sid is not null
       and a.delivery_status in ('undelivered', 'failed', 'canceled')
     group by a.delivery_code, q.business_id, b.name order by 4 desc limit 50)
    union all
    (select 'ended', e.status, null::uuid, count(*), min(e.updated_at), null::timestamptz,
            smsretry.numberless(left(e.last_error, 200))
     from public.sms_retry_queue e
     where e.status in ('completed', 'failed', 'cancelled') and e.updated_at > v_now - interval '1 day' and e.status <> 'completed'
     group by e.status, left(e.last_error, 200) order by e.status desc, count(*) desc limit 50)
    union all
    (select 'stopped', 'sending', null::uuid, null::bigint, c.opened_at, null::timestamptz, c.why from smsretry.circuit c)
    union all
    (select 'stopped', s.state, null::uuid, null::bigint, s.stopped_at, null::timestamptz, s.why
     from smsretry.stopped_states s order by s.state)
    union all
    (select 'run', r.id::text, null::uuid, null::bigint, r.started_at, r.finished_at,
            coalesce(r.told, case when r.interrupted_at is not null then 'It was interrupted' else 'It is under way' end)
     from smsretry.runs r order by r.started_at desc limit 5);
end
$$;

revoke all on function public.sms_status from public, anon, authenticated;
grant execute on function public.sms_status to service_role;
