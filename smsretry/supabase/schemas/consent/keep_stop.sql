-- Keep which senders heard a STOP that holds for a number at a business: smsretry.heard_stops. Null: nobody knows.
create or replace function smsretry.keep_stop(number_key bytea, senders text[], since timestamptz)
returns void language sql set search_path = pg_catalog, pg_temp as $$
    insert into smsretry.heard_stops (number_key, senders, since)
    select keep_stop.number_key, keep_stop.senders, keep_stop.since
    where keep_stop.senders is not null and keep_stop.number_key is not null and not exists (
        select 1 from smsretry.heard_stops h
        where h.number_key = keep_stop.number_key and h.senders = keep_stop.senders and h.since >= keep_stop.since)
$$;
