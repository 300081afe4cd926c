-- For a person: what is in the queue, what went out and ended lately, what is stopped, and the last runs, by part:
--   clock (oldest: the database's clock; next_at: what was due before is late; texts: smsretry.fewest_texts)
--   scheduled (name: waiting, held or late; told: the id of one held) · queue (name: a state) · waiting (name: category)
--   held (name: reason, a line a business) · sent (by outcome, last hour)
--   delivery, delivery_lately (last day, last hour; name: delivered, undelivered, unknown or open) · delivery_hour (oldest:
--   its start) · delivery_business (last day; the ten businesses with the smallest share delivered; told: its name)
--   delivery_time (name: median or 95th percentile; told: seconds from accepted to delivered; texts: of how many)
--   undelivered (last day; name: the provider's code, a line a business) · ended (last day; failed or cancelled, by error)
--   inbound (only with_words: people whose text may mean stop, unread; told: the oldest one's SID) · stopped · run
--   mark, runner (only with_senders: smsretry.status_of_mark)
--   senders, sender (only with_senders: the businesses' own; smsretry.status_of_senders)
-- oldest and next_at: of a queue's line, the earliest due time and the next; of others, when it began.
create or replace function public.sms_status(with_words boolean default false, with_senders boolean default false)
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
    (select 'inbound', 'unsure', null::uuid, count(distinct t.number_key), min(t.heard_at), null::timestamptz,
            (array_agg(t.twilio_sid order by t.heard_at))[1], null::text
     from smsretry.inbound_texts t
     where sms_status.with_words and t.said = 'unsure' and t.seen_at is null having count(*) > 0)
    union all
    -- Not sending: everybody's texts; environment: those of businesses without a sender of their own.
    (select 'stopped', case when sms_status.with_senders and c.sender <> '' and exists (select from smsretry.business_senders)
                            then 'environment' else 'sending' end,
            null::uuid, null::bigint, c.opened_at, null::timestamptz, c.why, null::text
     from smsretry.circuits() c where not c.own)
    union all
    select * from smsretry.status_of_mark() m where sms_status.with_senders
    union all
    select * from smsretry.status_of_senders(v_now) s where sms_status.with_senders
    union all
    (select 'stopped', s.state, null::uuid, null::bigint, s.stopped_at, null::timestamptz, s.why, null::text
     from smsretry.stopped_states s order by s.state)
    union all
    (select 'run', r.id::text, null::uuid, null::bigint, r.started_at, r.finished_at,
            coalesce(r.told, case when r.interrupted_at is not null then 'It was interrupted' else 'It is under way' end), null::text
     from smsretry.runs r order by r.started_at desc limit 5);
end
$$;
