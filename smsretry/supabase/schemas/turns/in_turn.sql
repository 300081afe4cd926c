-- Whose turn it is: businesses that have some of this kind of work to be claimed, from behind the one on that was served last,
-- by id and round and round. What they wrote, and how much of it, has no part in the order.
--   kind: texts | doubtful | scheduled | deliveries (settled: accepted no later than that, unless they failed)
--   businesses: up to twice as many as the claim takes, because what others hold locked is passed over. Empty: nothing is due
--   each: how many of each of them to look at first, for the same reason several times as many as are taken
--   place: of smsretry.turns, locked until end_turn. Null: all that is due fits into the claim, and nobody needs a turn; or more
--     claim at this moment than there are places, and the order begins anywhere
--   passed: where too many wait for later, how far was looked. Then those that have waited longest stand behind those that
--     were found, and the next claim looks on from there
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
