-- For smsretry.cancel_text: cancel a scheduled send that is not queued yet. Returns why it stays; null: it is cancelled.
create or replace function smsretry.cancel_scheduled(scheduled_id uuid, why text)
returns text language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    v_found boolean;
begin
    update public.scheduled_sends s set status = 'cancelled', why = cancel_scheduled.why, why_code = 'operator'
    where s.id = cancel_scheduled.scheduled_id and s.status = 'scheduled';
    v_found := found;
    set constraints all immediate; -- a deferred check would undo the others, too
    return case
        when exists (select 1 from public.scheduled_sends s where s.id = cancel_scheduled.scheduled_id and s.status = 'scheduled')
            then 'A trigger on scheduled_sends keeps it as it is'
        when not v_found then 'It has changed meanwhile'
    end;
exception when others then
    return 'A trigger or a rule of scheduled_sends refuses each change of it (' || sqlstate || ')';
end
$$;
