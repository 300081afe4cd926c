-- Refuse a rate or a cap that is none, before the table does, whose error would quote the sender's
-- number.
create or replace function smsretry.check_limits(
    segments_per_second double precision,
    segments_per_day integer
)
returns void
language plpgsql immutable set search_path = pg_catalog, pg_temp as $$
begin
    if not (segments_per_second between 0.01 and 1000)
        or segments_per_day < 1
    then
        raise exception 'segments_per_second must be 0.01 to 1000, and segments_per_day must be at least 1: to stop a sender, pause it'
            using errcode = 'SR422';
    end if;
end
$$;
