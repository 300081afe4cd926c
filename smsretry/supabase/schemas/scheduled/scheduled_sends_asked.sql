-- Scheduled sends are updated by one statement, perhaps an upsert, which inserts some of them. One row that cannot be changed
-- is no reason to leave the others: the answer's rows are those that were. If none was, the first refusal is raised
-- (SR409), so that nobody takes a text for cancelled that goes out. A setting notes what came of the rows so far: nothing
-- yet, a refusal, or 'changed', which stays. Each statement has its own, also one of a trigger within another.
create or replace function smsretry.scheduled_sends_asked()
returns trigger language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    v_setting constant text := 'smsretry.scheduled_' || pg_trigger_depth();
    v_note text;
begin
    if tg_level = 'ROW' then -- inserted
        perform set_config(v_setting, 'changed', true);
    elsif tg_when = 'BEFORE' then
        perform set_config(v_setting, '', true);
    else
        v_note := coalesce(current_setting(v_setting, true), '');
        if v_note not in ('', 'changed') then
            raise exception '%', split_part(v_note, E'\n', 1) using errcode = 'SR409', hint = split_part(v_note, E'\n', 2);
        end if;
    end if;
    return null;
end
$$;
