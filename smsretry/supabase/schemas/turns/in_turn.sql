-- Put due work in the order of turns: who was served longest ago goes first, with what has waited
-- longest.
--   ids, businesses: of the work, the longest waiting first
create or replace function smsretry.in_turn(
    kind text,
    ids uuid[],
    businesses uuid[]
)
returns uuid[]
language plpgsql stable set search_path = pg_catalog, pg_temp
set enable_hashjoin = off set enable_mergejoin = off as $$
begin
    return (
        select coalesce(
            array_agg(w.id order by w.turn, w.served nulls first, w.business_id),
            '{}'
        )
        from (
            select
                u.id,
                u.business_id,
                t.served,
                row_number() over (
                    partition by u.business_id
                    order by u.place
                ) as turn
            from unnest(
                in_turn.ids,
                in_turn.businesses
            ) with ordinality as u (id, business_id, place)
            left join smsretry.turns t
                on t.kind = in_turn.kind and t.business_id = u.business_id
        ) w
    );
end
$$;
