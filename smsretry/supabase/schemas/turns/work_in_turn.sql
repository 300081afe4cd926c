-- Due work of these businesses in turns: at first only `each` of a business, and up to `most` if a few of them have most of
-- it. Kinds and settled: smsretry.in_turn.
create or replace function smsretry.work_in_turn(
    kind text, businesses uuid[], each integer, most integer, at timestamptz, settled timestamptz default null
)
returns uuid[] language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    v_ids uuid[];
    v_each integer;
begin
    foreach v_each in array array[each, most] loop
        if v_ids is null or cardinality(v_ids) < most and v_each > each then
            v_ids := coalesce(case kind when 'texts' then array(select t.id from smsretry.texts_in_turn(businesses, v_each, at) t order by t.turn, t.place)
                                        else smsretry.others_in_turn(kind, businesses, v_each, at, settled) end, '{}');
        end if;
    end loop;
    return v_ids;
end
$$;
