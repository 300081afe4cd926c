-- Lock up to limit_count rows of this kind of work that are due, business by business in turns, which go on where the last claim
-- ended; the next claim goes on behind this one. Kinds and settled: smsretry.in_turn. Returns their ids, in turns.
create or replace function smsretry.claim_in_turn(
    kind text, limit_count integer, at timestamptz, settled timestamptz default null
)
returns uuid[] language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    v_turn record;
    v_candidates uuid[];
    v_taken record;
begin
    select * into v_turn from smsretry.in_turn(kind, at, limit_count, settled);
    if cardinality(v_turn.businesses) = 0 then
        return '{}';
    end if;
    v_candidates := smsretry.work_in_turn(kind, v_turn.businesses, v_turn.each, limit_count, at, settled);
    select * into v_taken from smsretry.lock_in_turn(kind, v_candidates, limit_count, at);
    perform smsretry.end_turn(
        kind, v_turn.place, v_turn.businesses, v_turn.passed, v_taken.served, cardinality(v_taken.ids) = limit_count);
    return v_taken.ids;
end
$$;
