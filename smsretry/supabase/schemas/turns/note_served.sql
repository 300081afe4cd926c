-- Note that these businesses were served now, in this order. If another claim is noting its own at
-- this moment, this one notes nothing: it may wait for nobody, and its businesses only come to
-- their next turn a little sooner.
--   behind: where the next claim of texts looks
create or replace function smsretry.note_served(
    kind text,
    businesses uuid[],
    at timestamptz,
    behind uuid default null
)
returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    if note_served.businesses is not null
        and pg_try_advisory_xact_lock(
            hashtextextended('smsretry.turns ' || note_served.kind, 0)
        ) then
        insert into smsretry.turns (kind, business_id, served)
        select
            note_served.kind,
            u.id,
            note_served.at + max(u.place) * interval '1 microsecond'
        from unnest(note_served.businesses) with ordinality as u (id, place)
        where u.id is not null
        group by u.id
        on conflict on constraint turns_pkey
        do update set served = excluded.served;
        if note_served.behind is not null then
            delete from smsretry.turns t where t.kind = 'cursor';
            insert into smsretry.turns (kind, business_id, served)
            values ('cursor', note_served.behind, note_served.at);
        end if;
    end if;
end
$$;
