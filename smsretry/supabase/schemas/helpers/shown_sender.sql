-- Show a sender to people: a messaging service's SID as it is, of a number the last four digits.
create or replace function smsretry.shown_sender(sent_by text)
returns text
language plpgsql immutable set search_path = pg_catalog, pg_temp as $$
begin
    return case
        when sent_by like '+%'
            then smsretry.masked(sent_by)
        else sent_by
    end;
end
$$;
