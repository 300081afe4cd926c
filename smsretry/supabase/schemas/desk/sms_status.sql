-- For a person: what is in the queue, what went out and ended lately, what needs somebody, and the last runs, by part:
--   clock (oldest: the database's clock) · late (name: smsretry.late_since)
--   queue, scheduled, held (smsretry.status_of_waiting) · sent, hour, undelivered (smsretry.status_of_sends)
--   ended (last day; failed or cancelled, by reason) · unread (numbers in smsretry.unread_words)
--   stopped (smsretry.stopped; name: sending, for everybody; environment: of businesses without a sender of their own; or a US
--   state, to which no marketing text goes)
--   sender (smsretry.status_of_senders) · mark (name: staging or production; told: its address)
--   runner (name: whom the last run's worker texts, unless everybody) · run (the last five)
-- oldest and next_at: of a queue's line, the earliest due time and the next; of others, when it began. ref: what names it in a
-- command or a link. states: those in which list_sms finds its texts.
create or replace function public.sms_status()
returns table (
    part text, name text, business_id uuid, business text, texts bigint, oldest timestamptz, next_at timestamptz, told text,
    why_code text, ref text, states text[]
)
language plpgsql stable security invoker set search_path = pg_catalog, pg_temp set plan_cache_mode = force_custom_plan as $$
declare
    v_now constant timestamptz := smsretry.clock();
begin
    return query
    select l.part, l.name, l.business_id, left(coalesce(l.business, b.name), 200), l.texts, l.oldest, l.next_at, l.told, l.why_code, l.ref, l.states
    from (
        select jsonb_build_object('part', 'clock', 'name', '', 'oldest', v_now) as line
        union all
        select jsonb_build_object('part', 'late', 'name', l.name, 'texts', l.texts, 'oldest', l.oldest,
                                  'states', case when l.name in ('due', 'scheduled') then array[l.name] end)
        from smsretry.late_since(v_now - smsretry.late_after()) l
        union all
        select * from smsretry.status_of_waiting(v_now)
        union all
        select * from smsretry.status_of_sends(v_now)
        union all
        (select jsonb_build_object('part', 'ended', 'name', e.status, 'texts', count(*), 'oldest', min(e.updated_at),
                                   'told', smsretry.numberless(left(e.last_error, 200)), 'why_code', e.why_code::text, 'states', array[e.status])
         from public.sms_retry_queue e
         where e.work is null and e.status <> 'completed' and e.updated_at > v_now - interval '1 day'
         group by e.status, left(e.last_error, 200), e.why_code order by e.status desc, count(*) desc limit 50)
        union all
        (select jsonb_build_object('part', 'unread', 'name', 'words', 'texts', count(distinct w.phone), 'oldest', min(w.heard_at))
         from smsretry.unread_words w having count(*) > 0)
        union all
        (select jsonb_build_object(
            'part', 'stopped', 'oldest', s.since, 'told', s.why, 'ref', case when e.sent_by like '+%' then e.id::text else e.sent_by end,
            'name', case when s.kind = 'state' then s.subject
                         when s.kind = 'sender' and exists (select from smsretry.business_senders) then 'environment' else 'sending' end)
         from smsretry.stopped s left join smsretry.senders e on s.kind = 'sender' and e.id::text = s.subject
         where s.kind in ('everybody', 'state') or e.told_at is not null
         order by s.kind = 'state', s.subject, s.since)
        union all
        select jsonb_build_object('part', 'mark', 'name', m.kind, 'oldest', m.marked_at, 'told', m.address) from smsretry.mark m
        union all
        select jsonb_build_object('part', 'runner', 'name', r.send_to, 'oldest', r.started_at)
        from (select * from smsretry.runs l order by l.started_at desc limit 1) r where r.send_to <> 'all'
        union all
        select * from smsretry.status_of_senders(v_now)
        union all
        (select jsonb_build_object('part', 'run', 'name', r.id, 'oldest', r.started_at, 'next_at', r.finished_at, 'told', coalesce(
                    r.told, case when r.interrupted_at is not null then 'It was interrupted' else 'It is under way' end))
         from smsretry.runs r order by r.started_at desc limit 5)
    ) parts
    cross join lateral jsonb_to_record(parts.line) l (
        part text, name text, business_id uuid, business text, texts bigint, oldest timestamptz, next_at timestamptz, told text,
        why_code text, ref text, states text[])
    left join public.businesses b on b.id = l.business_id;
end
$$;
