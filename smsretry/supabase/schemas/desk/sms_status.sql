-- For a person: what is in the queue now, what went out and what ended lately, what is stopped, and the last runs.
--   part: clock (oldest: what the database's clock says) · scheduled (no texts yet; name: waiting, held or late; told: one
--   that is held, by its id) · queue (name: a state) · waiting (why, as a category) · held (what for, a line a business) · sent, by outcome, in the last
--   hour · delivery and delivery_lately: texts accepted in the last day, and of those in the last hour, by what became of them
--   (delivered, undelivered, unknown or open) · delivery_hour: the same by hour (oldest: when it began) · delivery_business:
--   the same of those whose fate is known, of the ten businesses of which the smallest share arrives (told: its name) ·
--   delivery_time: seconds from accepted to the report that it was delivered (name: median or 95th percentile; told: the
--   seconds; texts: of how many) · undelivered in the last day (name: Twilio's code, a line a business) · ended,
--   failed or cancelled, by error, in the last day (of held and ended: why_code, why in a word for programs) · inbound (only where with_words asks for it, because the desk of the last
--   version does not know it): how many people wrote something that may mean stop, and are opted out until somebody reads it
--   (told: the SID of the oldest of these texts) · stopped (sending, or a US state) · run
-- oldest and next_at: of a queue's line, the earliest due time and the next; of others, when it began.
create or replace function public.sms_status(with_words boolean default false)
returns table (part text, name text, business_id uuid, texts bigint, oldest timestamptz, next_at timestamptz, told text, why_code text)
language plpgsql stable security invoker set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
declare
    v_now constant timestamptz := smsretry.clock();
begin
    return query
    with waiting as (
        -- An index holds all of this: the rows themselves, of which 200,000 may wait, are not read.
        select q.reason, q.attempt_count > 0 as tried, q.held_since is not null as held, q.scheduled_for > v_now as later,
               count(*) as texts, min(q.scheduled_for) as oldest
        from public.sms_retry_queue q where q.status = 'pending' and q.in_doubt_since is null
        group by 1, 2, 3, 4
    ),
    live as materialized (
        -- The states of smsretry.text_state.
        select case when w.held then 'held' when w.later then 'waiting' else 'due' end as state,
               coalesce(w.reason, case when w.tried then 'twilio_error' else 'none' end) as category,
               w.texts, w.oldest, case when w.later then w.oldest end as next_at
        from waiting w
        union all
        select 'in_doubt', 'none', count(*), min(q.scheduled_for), min(q.scheduled_for) filter (where q.scheduled_for > v_now)
        from public.sms_retry_queue q where q.status = 'pending' and q.in_doubt_since is not null having count(*) > 0
        union all
        select case when q.in_doubt_since is not null then 'in_doubt' else 'under_way' end, 'none', count(*), min(q.scheduled_for),
               min(q.scheduled_for) filter (where q.scheduled_for > v_now)
        from public.sms_retry_queue q where q.status = 'processing' group by 1
    ),
    reported as materialized (
        select a.delivery_status, a.begun_at > v_now - interval '1 hour' as lately,
               date_trunc('hour', a.begun_at, 'UTC') as hour, count(*) as texts
        from public.sms_send_attempts a
        where a.begun_at > v_now - interval '1 day' and a.twilio_sid is not null
        group by 1, 2, 3
    ),
    accepted as (
        select case when smsretry.delivery_rank(r.delivery_status) >= 7 then 'delivered'
                    when smsretry.delivery_rank(r.delivery_status) = 6 then 'undelivered'
                    when r.delivery_status = 'unknown' then 'unknown'
                    else 'open' end as fate,
               r.lately, r.hour, r.texts
        from reported r
    ),
    lost as materialized (
        select q.business_id, a.delivery_code, count(*) as texts, min(a.delivery_at) as oldest
        from public.sms_send_attempts a join public.sms_retry_queue q on q.id = a.retry_id
        where a.begun_at > v_now - interval '1 day' and a.twilio_sid is not null
          and a.delivery_status in ('undelivered', 'failed', 'canceled')
        group by q.business_id, a.delivery_code
    ),
    losing as (
        select l.business_id, sum(l.texts)::bigint as undelivered from lost l group by l.business_id
    ),
    arrived as (
        -- The row of a message that arrived ended within the day, so that an index finds it.
        select q.business_id, count(*) as delivered
        from public.sms_retry_queue q join public.sms_send_attempts a on a.retry_id = q.id
        where q.status in ('completed', 'failed', 'cancelled') and q.updated_at > v_now - interval '1 day'
          and q.business_id in (select l.business_id from losing l)
          and a.begun_at > v_now - interval '1 day' and a.twilio_sid is not null and a.delivery_status in ('delivered', 'read')
        group by q.business_id
    ),
    worst as (
        select l.business_id, l.undelivered, coalesce(a.delivered, 0) as delivered, left(b.name, 200) as name,
               coalesce(a.delivered, 0)::float8 / (l.undelivered + coalesce(a.delivered, 0)) as share
        from losing l
        left join arrived a on a.business_id = l.business_id
        left join public.businesses b on b.id = l.business_id
        where l.undelivered + coalesce(a.delivered, 0) >= 20 -- a share of fewer says nothing
        order by share, l.undelivered desc, l.business_id limit 10
    ),
    taken as (
        -- Not of one that was read: when it was delivered is not kept beside that. The answer to its request was late or
        -- lost if another evidence settled it.
        select count(*) as texts, percentile_cont(array[0.5, 0.95]) within group (order by greatest(
                   a.delivery_at - case a.settled_by when 'response' then a.finished_at else a.begun_at end, '0')) as after
        from public.sms_send_attempts a
        where a.begun_at > v_now - interval '1 day' and a.twilio_sid is not null and a.delivery_status = 'delivered'
    )
    (select 'clock', '', null::uuid, null::bigint, v_now, null::timestamptz, null::text, null::text)
    union all
    (select 'scheduled', p.name, null::uuid, count(*), min(p.due), min(p.due) filter (where p.due > v_now),
            min(p.id::text) filter (where p.name = 'held'), null::text
     from (
         select s.id, case when s.held_since is not null or h.scheduled_id is not null then 'held'
                           when s.scheduled_for <= v_now then 'late' else 'waiting' end as name,
                -- The application may have written a time that no calendar has.
                case when s.scheduled_for between '2000-01-01 00:00+00' and '2100-01-01 00:00+00' then s.scheduled_for end as due
         from public.scheduled_sends s
         left join smsretry.held_sends h on h.scheduled_id = s.id
         where s.status = 'scheduled') p
     group by p.name order by p.name)
    union all
    (select 'queue', l.state, null::uuid, sum(l.texts)::bigint, min(l.oldest), min(l.next_at), null::text, null::text
     from live l group by l.state order by l.state)
    union all
    (select 'waiting', l.category, null::uuid, sum(l.texts)::bigint, min(l.oldest), min(l.next_at), null::text, null::text
     from live l where l.state = 'waiting' group by l.category order by l.category)
    union all
    (select 'held', left(q.why, 200), q.business_id, count(*), min(q.held_since), min(q.scheduled_for), left(b.name, 200), q.why_code
     from public.sms_retry_queue q left join public.businesses b on b.id = q.business_id
     where q.held_since is not null and q.status in ('pending', 'processing')
     group by left(q.why, 200), q.why_code, q.business_id, left(b.name, 200) order by count(*) desc limit 50)
    union all
    (select 'sent', coalesce(a.outcome, 'under_way'), null::uuid, count(*), min(a.begun_at), null::timestamptz, null::text, null::text
     from public.sms_send_attempts a where a.begun_at > v_now - interval '1 hour' group by 2 order by 2)
    union all
    (select 'delivery', d.fate, null::uuid, sum(d.texts)::bigint, null::timestamptz, null::timestamptz, null::text, null::text
     from accepted d group by d.fate order by d.fate)
    union all
    (select 'delivery_lately', d.fate, null::uuid, sum(d.texts)::bigint, null::timestamptz, null::timestamptz, null::text, null::text
     from accepted d where d.lately group by d.fate order by d.fate)
    union all
    (select 'delivery_hour', d.fate, null::uuid, sum(d.texts)::bigint, d.hour, null::timestamptz, null::text, null::text
     from accepted d group by d.hour, d.fate order by d.hour, d.fate)
    union all
    (select 'delivery_business', f.fate, w.business_id, f.texts, null::timestamptz, null::timestamptz, w.name, null::text
     from worst w cross join lateral (values ('delivered', w.delivered), ('undelivered', w.undelivered)) as f (fate, texts)
     order by w.share, w.undelivered desc, w.business_id, f.fate)
    union all
    (select 'delivery_time', v.name, null::uuid, t.texts, null::timestamptz, null::timestamptz, round(extract(epoch from v.after), 1)::text, null::text
     from taken t cross join lateral (values ('median', t.after[1]), ('95th percentile', t.after[2])) as v (name, after)
     where t.texts > 0)
    union all
    (select 'undelivered', coalesce(l.delivery_code::text, 'without a code'), l.business_id, l.texts, l.oldest,
            null::timestamptz, left(b.name, 200), null::text
     from lost l left join public.businesses b on b.id = l.business_id
     order by l.texts desc limit 50)
    union all
    (select 'ended', e.status, null::uuid, count(*), min(e.updated_at), null::timestamptz,
            smsretry.numberless(left(e.last_error, 200)), e.why_code
     from public.sms_retry_queue e
     where e.status in ('completed', 'failed', 'cancelled') and e.updated_at > v_now - interval '1 day' and e.status <> 'completed'
     group by e.status, left(e.last_error, 200), e.why_code order by e.status desc, count(*) desc limit 50)
    union all
    (select 'inbound', 'words', null::uuid, count(distinct t.number_key), min(t.heard_at), null::timestamptz,
            (array_agg(t.twilio_sid order by t.heard_at))[1], null::text
     from smsretry.inbound_texts t
     where sms_status.with_words and t.heard = 'words' and t.seen_at is null having count(*) > 0)
    union all
    (select 'stopped', 'sending', null::uuid, null::bigint, c.opened_at, null::timestamptz, c.why, null::text from smsretry.circuit c)
    union all
    (select 'stopped', s.state, null::uuid, null::bigint, s.stopped_at, null::timestamptz, s.why, null::text
     from smsretry.stopped_states s order by s.state)
    union all
    (select 'run', r.id::text, null::uuid, null::bigint, r.started_at, r.finished_at,
            coalesce(r.told, case when r.interrupted_at is not null then 'It was interrupted' else 'It is under way' end), null::text
     from smsretry.runs r order by r.started_at desc limit 5);
end
$$;

revoke all on function public.sms_status from public, anon, authenticated;
grant execute on function public.sms_status to service_role;
