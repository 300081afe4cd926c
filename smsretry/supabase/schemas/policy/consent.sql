-- Read a customer's consent: opted_in, opted_out or unknown. Letters' case and blanks do not matter.
-- Null: nobody said anything; another value is one that we do not understand.
create or replace function smsretry.consent(status text)
returns text
language plpgsql immutable set search_path = pg_catalog, pg_temp as $$
begin
    return left(lower(btrim(status, E' \t\r\n') collate "C"), 40);
end
$$;
