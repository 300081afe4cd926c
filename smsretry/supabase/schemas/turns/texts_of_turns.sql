-- Due texts in turns, and the place of each one's turn: smsretry.texts_in_turn. At first only `each` of a turn, and up to `most`
-- if a few of them have most of what is due.
create or replace function smsretry.texts_of_turns(
    businesses uuid[], classes text[], each integer, most integer, at timestamptz, out id uuid, out place bigint
)
returns setof record language plpgsql stable set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
declare
    v_ids uuid[];
    v_places bigint[];
    v_each integer;
begin
    foreach v_each in array array[texts_of_turns.each, texts_of_turns.most] loop
        if v_ids is null or cardinality(v_ids) < texts_of_turns.most and v_each > texts_of_turns.each then
            select array_agg(t.id order by t.turn, t.place), array_agg(t.place order by t.turn, t.place) into v_ids, v_places
            from smsretry.texts_in_turn(texts_of_turns.businesses, v_each, texts_of_turns.at, texts_of_turns.classes) t;
        end if;
    end loop;
    return query select * from unnest(v_ids, v_places);
end
$$;
