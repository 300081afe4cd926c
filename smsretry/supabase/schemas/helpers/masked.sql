-- Mask a number but for its last four digits, by which a person recognizes it. In plpgsql, which is
-- cheaper to call for each claim.
create or replace function smsretry.masked(phone text)
returns text
language plpgsql immutable set search_path = pg_catalog, pg_temp as $$
begin
    return case
        when length(phone) >= 8 then '…' || right(phone, 4)
        when phone is not null then '…'
    end;
end
$$;
