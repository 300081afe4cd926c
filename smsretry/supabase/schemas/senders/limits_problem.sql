-- What is wrong with a sender's rate and cap; null: nothing.
create or replace function smsretry.limits_problem(segments_per_second double precision, segments_per_day integer)
returns text language plpgsql immutable set search_path = pg_catalog, pg_temp as $$
begin
    return case
        when not (limits_problem.segments_per_second >= 0.01 and limits_problem.segments_per_second <= 1000)
            then 'segments_per_second must be 0.01 to 1000: to stop a sender, pause it'
        when limits_problem.segments_per_day < 1 then 'segments_per_day must be at least 1: to stop a sender, pause it'
    end;
end
$$;
