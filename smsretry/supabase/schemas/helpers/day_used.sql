-- What a sender with a cap has used of the carriers' day: segments of what may have gone out.
--   settled: of them those begun before settled_at · afresh: how many of those smsretry.spent_until has not noted yet
create or replace function smsretry.day_used(
    sender smsretry.senders, at timestamptz, settled_at timestamptz default null,
    out segments bigint, out settled bigint, out afresh bigint
)
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_variable
declare
    v_from timestamptz := (smsretry.carriers_day(at)).begins;
    v_noted bigint := 0;
begin
    if sender.counted_to > v_from and sender.counted_to <= at then -- else the clock was set back
        v_from := sender.counted_to;
        v_noted := sender.counted_segments;
    end if;
    select v_noted + coalesce(sum(a.segments), 0), v_noted + coalesce(sum(a.segments) filter (where a.begun_at < settled_at), 0),
           count(*) filter (where a.begun_at < settled_at)
    into segments, settled, afresh
    from public.sms_send_attempts a
    where a.segments is not null and a.sent_by = sender.sent_by and a.begun_at >= v_from
      and coalesce(a.outcome, 'in_doubt') in ('accepted', 'in_doubt');
end
$$;
