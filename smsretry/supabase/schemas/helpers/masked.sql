-- As much of a number as a person needs to recognize it: its last four digits.
create or replace function smsretry.masked(phone text)
returns text language sql immutable set search_path = pg_catalog, pg_temp as $$
    select case when length(phone) >= 8 then '…' || right(phone, 4) when phone is not null then '…' end
$$;
