-- A text no longer goes straight from the queue to its send: a line of its story (smsretry.steps). What only repeats the last
-- line is counted there. The lines that people write themselves are left to the functions that they call.
-- security definer, because the application writes rows and not stories. It never refuses or stops their change.
create or replace function smsretry.keep_step()
returns trigger language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    k_lines constant integer := 100; -- a text may wait for days for two reasons in turn; its ends have as many again
    v_now timestamptz;
    v_step text;
    v_who text;
    v_because text;
    v_lines integer;
    v_last record; -- without that table a row type would be an error that nothing catches
begin
    if new.why_code in ('operator', 'restored') and new.status in ('pending', 'cancelled')
        and (new.why_code, new.why, new.in_doubt_since is null)
            is distinct from (old.why_code, old.why, old.in_doubt_since is null) then
        return null;
    end if;
    v_now := smsretry.clock();
    v_step := smsretry.step_of(old, new);
    if v_step = 'completed' and exists (
            select 1 from public.sms_send_attempts a where a.retry_id = new.id and a.outcome = 'accepted') then
        return null; -- the attempt says so
    end if;
    -- Our functions leave no lease behind, and say why they end or move a row.
    v_who := case
        when v_step in ('completed', 'put off') or new.claimed_at is not null
            or old.status <> 'processing' and (new.why_code, new.why, new.in_doubt_since)
                is not distinct from (old.why_code, old.why, old.in_doubt_since)
            then 'the application'
        else 'smsretry'
    end;
    v_because := case
        when v_step in ('failed', 'cancelled', 'queued anew', 'to be tried again') then new.last_error
        when v_step in ('deferred', 'held') then new.why
        when v_step = 'in doubt' then coalesce(new.why, new.last_error)
    end;
    select t.*, count(*) over () as lines into v_last from smsretry.steps t
    where t.retry_id = new.id order by coalesce(t.last_at, t.taken_at) desc limit 1;
    v_lines := coalesce(v_last.lines, 0);
    if v_lines >= 2 * k_lines or v_lines >= k_lines and v_step not in ('failed', 'cancelled', 'completed', 'queued anew') then
        v_step := 'more';
        v_who := 'smsretry'; -- of whoever: one line
        v_because := null;
    end if;
    v_because := coalesce(nullif(btrim(left(smsretry.numberless(v_because), 500)), ''), 'not said');

    if v_last.step = v_step and v_last.who = v_who
        and (v_step = 'more' or v_last.why_code is not distinct from new.why_code)
        and v_step not in ('failed', 'cancelled', 'completed', 'queued anew') then
        update smsretry.steps t
        set times = t.times + 1, last_at = v_now, until = new.scheduled_for, because = v_because
        where t.retry_id = new.id and t.taken_at = v_last.taken_at and t.step = v_step;
    else
        insert into smsretry.steps (retry_id, taken_at, step, who, because, until, since, why_code)
        values (new.id, v_now, v_step, v_who, v_because,
                case when new.status = 'pending' then new.scheduled_for end,
                case when v_step = 'taken back' then old.claimed_at end,
                case when v_step <> 'more' then new.why_code end);
    end if;
    return null;
exception when others then
    raise warning 'The story of text % misses a line: %', new.id, sqlstate;
    return null;
end
$$;
