-- As much of a number as a person needs to recognize it: its last four digits. In plpgsql, because each claim
-- asks: it is cheaper to call there.
create or replace function smsretry.masked(phone text)
returns text language plpgsql immutable set search_path = pg_catalog, pg_temp as $$
begin
    return case when length(masked.phone) >= 8 then '…' || right(masked.phone, 4) when masked.phone is not null then '…' end;
end
$$;
