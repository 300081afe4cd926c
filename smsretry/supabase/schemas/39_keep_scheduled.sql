-- A scheduled send that could not be queued, for a reason that is not its own, waits: held, if somebody must mend it. It is
-- held for life at most, and not beyond its use. The caller holds the row locked.
--   result: held | later | cancelled
-- A trigger or a constraint of the application's may refuse even this. Then the row stays as it is, and the others go on.
create or replace function smsretry.keep_scheduled(
    send public.scheduled_sends, trouble text, life interval, look_at timestamptz, at timestamptz,
    out result text, out why text
)
language plpgsql set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
begin
    why := keep_scheduled.trouble;
    result := case when why is null then 'later' else 'held' end;
    if result = 'held' and keep_scheduled.send.held_since + keep_scheduled.life <= keep_scheduled.at then
        result := 'cancelled';
        why := 'Expired before it could be sent. ' || why;
    end if;
    update public.scheduled_sends s
    set status = case keep_scheduled.result when 'cancelled' then 'cancelled' else s.status end,
        why = case keep_scheduled.result when 'later' then s.why else left(keep_scheduled.why, 2000) end,
        held_since = case keep_scheduled.result when 'held' then coalesce(s.held_since, keep_scheduled.at)
                                                when 'later' then s.held_since end,
        look_at = case when keep_scheduled.result <> 'cancelled' then keep_scheduled.look_at end
    where s.id = keep_scheduled.send.id;
exception when others then
    raise warning 'Scheduled send % could not be changed: %', keep_scheduled.send.id, sqlstate;
    result := 'held';
end
$$;

revoke all on function smsretry.keep_scheduled from public, anon, authenticated;
grant execute on function smsretry.keep_scheduled to service_role;
