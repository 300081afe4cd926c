-- Whose turn it is: the businesses with due work of this kind, by id round and round, behind the one served last. Neither
-- what nor how much they wrote changes the order.
--   kind: texts | doubtful | scheduled | deliveries (settled: accepted no later than that, unless they failed)
--   businesses: up to twice limit_count, because locked rows are passed over; empty: nothing is due
--   each: how many of each to look at first, several times what is taken for the same reason
--   place: of smsretry.turns, locked until end_turn; null: all that is due fits into the claim, or all places are taken and
--     the order begins anywhere
--   passed: how far was looked, if too many wait for later; the longest waiting are then added, and the next claim goes on
create or replace function smsretry.in_turn(
    kind text, at timestamptz, limit_count integer, settled timestamptz default null,
    out businesses uuid[], out each integer, out place integer, out passed uuid
)
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    v_peek constant integer := greatest(4 * limit_count, 200);
    v_known uuid[];
    v_seen bigint;
    v_start uuid;
begin
    select w.businesses, w.seen into v_known, v_seen from smsretry.waited_longest(kind, at, v_peek, settled) w;
    if v_seen <= limit_count then
        businesses := coalesce(v_known, '{}');
        each := limit_count;
        return;
    end if;
    select t.place, t.after into place, v_start from smsretry.turns t
    where t.kind = in_turn.kind order by t.place limit 1 for update skip locked;
    v_start := coalesce(v_start, md5(concat(clock_timestamp(), pg_backend_pid()))::uuid);
    if v_seen = v_peek then -- there may be more, of others
        select n.businesses, n.passed into businesses, passed
        from smsretry.next_in_turn(kind, at, v_start, 2 * limit_count, settled) n;
    end if;
    if v_seen < v_peek or passed is not null then
        businesses := coalesce(businesses, '{}') || array(
            select b from unnest(v_known) b where (b = any (businesses)) is not true order by b <= coalesce(passed, v_start), b);
    end if;
    each := v_peek / greatest(cardinality(businesses), 1) + 1;
end
$$;
