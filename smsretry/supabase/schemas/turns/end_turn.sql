-- A claim has ended: the next one from this place begins behind the last business served; or, if too little could be taken
-- because the rest is locked, behind all that were tried.
create or replace function smsretry.end_turn(
    kind text, place integer, businesses uuid[], passed uuid, served uuid, enough boolean
)
returns void language sql set search_path = pg_catalog, pg_temp as $$
    update smsretry.turns t
    set after = coalesce(
        end_turn.passed,
        case when end_turn.enough then end_turn.served else end_turn.businesses[cardinality(end_turn.businesses)] end,
        t.after)
    where t.kind = end_turn.kind and t.place = end_turn.place
$$;
