-- When the day turns over at the carriers, if the sender has no room left in it for so many segments; null: it has. Counted
-- is what may have gone out since it began.
create or replace function smsretry.spent_until(sent_by text, segments_per_day integer, segments integer, at timestamptz)
returns timestamptz language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
    v_day constant record := smsretry.carriers_day(spent_until.at);
    v_used bigint;
begin
    select coalesce(sum(a.segments), 0) into v_used
    from public.sms_send_attempts a
    where a.segments is not null and a.sent_by = spent_until.sent_by and a.begun_at >= v_day.begins_at
      and coalesce(a.outcome, 'in_doubt') in ('accepted', 'in_doubt');
    if v_used + coalesce(spent_until.segments, 1) > spent_until.segments_per_day then
        return v_day.turns_at;
    end if;
end
$$;
