-- These businesses were served now, in this order. If another claim is noting its own at this moment, this one notes nothing: it may wait for nobody,
-- and they only come to their next turn a little sooner.
create or replace function smsretry.note_served(kind text, businesses uuid[], at timestamptz)
returns void language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    if cardinality(note_served.businesses) > 0 and pg_try_advisory_xact_lock(hashtextextended('smsretry.turns ' || note_served.kind, 0)) then
        insert into smsretry.turns (kind, business_id, served)
        select note_served.kind, u.id, note_served.at + max(u.place) * interval '1 microsecond'
        from unnest(note_served.businesses) with ordinality as u (id, place) where u.id is not null group by u.id
        on conflict on constraint turns_pkey do update set served = excluded.served;
    end if;
end
$$;
