-- What names a sender in a command that people can copy: its SID; of a number its id, because a number is not shown.
create or replace function smsretry.name_of_sender(sender smsretry.senders)
returns text language plpgsql immutable set search_path = pg_catalog, pg_temp as $$
begin
    return case when sender.sent_by like '+%' then sender.id::text else sender.sent_by end;
end
$$;
