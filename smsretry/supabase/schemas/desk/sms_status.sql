-- For a person: what is in the queue now, what went out and what ended lately, what is stopped, and the last runs.
--   part: clock (oldest: what the database's clock says; next_at: what was due before that is late, smsretry.late_after;
--   texts: smsretry.fewest_texts) · scheduled (no texts yet; name: waiting, held or late; told: one
--   that is held, by its id) · queue (name: a state) · waiting (why, as a category) · held (what for, a line a business) ·
--   sent, by outcome, in the last hour · delivery and delivery_lately: texts accepted in the last day, and of those in the last hour, by what became of them
--   (delivered, undelivered, unknown or open) · delivery_hour: the same by hour (oldest: when it began) · delivery_business:
--   the same of those whose fate is known, of the ten businesses of which the smallest share arrives (told: its name) ·
--   delivery_time: seconds from accepted to the report that it was delivered (name: median or 95th percentile; told: the
--   seconds; texts: of how many) · undelivered in the last day (name: the provider's code, a line a business) · ended,
--   failed or cancelled, by error, in the last day (of held and ended: why_code, why in a word for programs) · inbound (only where with_words asks for it, because the desk of the last
--   version does not know it): how many people wrote something that may mean stop, and are opted out until somebody reads it
--   (told: the SID of the oldest of these texts) · stopped (sending, or a US state) · run
-- oldest and next_at: of a queue's line, the earliest due time and the next; of others, when it began.
create or replace function public.sms_status(with_words boolean default false)
returns table (part text, name text, business_id uuid, texts bigint, oldest timestamptz, next_at timestamptz, told text, why_code text)
language plpgsql stable security invoker set search_path = pg_catalog, pg_temp as $$
declare
    v_now constant timestamptz := smsretry.clock();
begin
    return query
    (select 'clock', '', null::uuid, smsretry.fewest_texts()::bigint, v_now, v_now - smsretry.late_after(), null::text, null::text)
    union all
    select * from smsretry.status_of_waiting(v_now)
    union all
    select s.*, null::text from smsretry.status_of_sends(v_now) s
    union all
    select l.*, null::text from smsretry.status_of_lost(v_now) l
    union all
    (select 'ended', e.status, null::uuid, count(*), min(e.updated_at), null::timestamptz,
            smsretry.numberless(left(e.last_error, 200)), e.why_code
     from public.sms_retry_queue e
     where e.status in ('completed', 'failed', 'cancelled') and e.status <> 'completed' and e.updated_at > v_now - interval '1 day'
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
