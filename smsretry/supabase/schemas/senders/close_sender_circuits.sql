-- Forget that texts of a sender did not go out: the next one is simply tried.
create or replace function smsretry.close_sender_circuits(sent_by text)
returns void language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    delete from smsretry.circuit c where c.sender = close_sender_circuits.sent_by and c.sender <> '';
    delete from smsretry.business_circuits b where b.sender = close_sender_circuits.sent_by and b.sender <> '';
end
$$;
