-- The SID of a number's last text that may mean stop and that nobody has read; null: there is none.
create or replace function smsretry.unread_stop(phone text)
returns text language plpgsql stable set search_path = pg_catalog, pg_temp as $$
begin
    return (
        select t.twilio_sid from smsretry.inbound_texts t
        where t.number_key = smsretry.number_key(null, unread_stop.phone)
          and t.said = 'unsure' and t.seen_at is null
        order by t.heard_at desc limit 1);
end
$$;
