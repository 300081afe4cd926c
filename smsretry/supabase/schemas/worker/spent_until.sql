-- When the day turns over at the carriers, if the sender has no room left in it for so many segments; null: it has. Counted
-- is what may have gone out since then.
create or replace function smsretry.spent_until(sent_by text, segments_per_day integer, segments integer, at timestamptz)
returns timestamptz language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
    v_day constant record := smsretry.carriers_day(spent_until.at);
begin
    if smsretry.used_today(spent_until.sent_by, v_day.begins) + coalesce(spent_until.segments, 1) > spent_until.segments_per_day then
        return v_day.ends;
    end if;
    return null;
end
$$;
