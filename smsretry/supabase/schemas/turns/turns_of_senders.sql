-- Whose turn it is among businesses with senders of their own: as smsretry.in_turn for texts, in places behind `start`. A
-- sender with no room is passed over. One with a rate has the place of its business that comes first, and there goes round
-- among all of its businesses, from its own memory, so that none of them depends on where others' turns are.
-- sender, per_second, without: smsretry.sender_room.
--   businesses, classes, owners, places: each a turn. classes: any, or texts of one alone · owners: the sender's id; the zero
--     one: the environment's · places: the business at whose place it is
--   rooms, afters: by owner, smsretry.sender_room · seen: how many texts are due, of the first `peek` · passed: how far was looked, if there were too many looks · complete: whether that is everybody who is due
--   free_at: when the first of the busy senders that were passed over is free
create or replace function smsretry.turns_of_senders(
    at timestamptz, start uuid, most integer, peek integer, sender text, per_second double precision, without text[],
    out businesses uuid[], out classes text[], out owners uuid[], out places uuid[], out rooms jsonb, out afters jsonb,
    out seen bigint, out passed uuid, out complete boolean, out free_at timestamptz
)
language plpgsql stable set search_path = pg_catalog, pg_temp set enable_sort = off set enable_incremental_sort = off set jit = off as $$
#variable_conflict use_variable
declare
    k_environment constant uuid := '00000000-0000-0000-0000-000000000000';
    v_known record;
    v_next record;
    v_of record;
    v_room record;
    v_lane record;
    v_owner uuid;
    v_busy uuid[] := '{}';
    v_mixed boolean;
    v_look integer := 0;
    v_last text := 'transactional'; -- the last one: the next step goes to another business
    v_at uuid := start;
    v_wrapped boolean := false;
begin
    businesses := '{}'; classes := '{}'; owners := '{}'; places := '{}'; rooms := '{}'; afters := '{}';
    complete := true;
    select * into v_known from smsretry.oldest_texts(at, start, peek);
    seen := v_known.seen;
    if seen < peek then
        v_look := 5000; -- these are all there are
    end if;
    loop
        v_look := v_look + 1;
        select * into v_next from smsretry.next_text(v_at, v_last, at, v_known.businesses, v_known.classes, v_look);
        exit when v_next.business_id is null and (v_wrapped or v_look > 5000);
        if v_next.business_id is null then
            v_wrapped := true; v_at := k_environment; v_last := '';
            continue;
        end if;
        exit when v_wrapped and v_look <= 5000 and v_next.business_id > start;
        v_at := v_next.business_id;
        v_last := v_next.message_class;
        if v_look = 5000 then
            passed := v_at;
        end if;
        continue when not v_next.due;
        if cardinality(businesses) >= most and seen >= peek then
            complete := false;
            exit;
        end if;
        select * into v_of from smsretry.senders_of(v_at);
        v_owner := coalesce(case v_last when 'marketing' then v_of.marketing else v_of.transactional end, k_environment);
        v_mixed := v_of.marketing is distinct from v_of.transactional;
        if not v_mixed then
            v_last := 'transactional';
        end if;
        continue when v_owner = any (v_busy);
        continue when array_position(businesses, v_at) is not null and (not v_mixed or v_look > 5000 and seen >= peek);
        if not rooms ? v_owner::text then
            select * into v_room from smsretry.sender_room(nullif(v_owner, k_environment), sender, per_second, without, at);
            if v_room.room = 0 then
                v_busy := v_busy || v_owner;
                free_at := least(free_at, v_room.free_at);
                continue;
            end if;
            rooms := rooms || jsonb_build_object(v_owner, v_room.room);
            afters := afters || jsonb_build_object(v_owner, coalesce(v_room.after, start));
            if v_room.room > 0 and seen >= peek then
                select * into v_lane from smsretry.businesses_of_sender(
                    nullif(v_owner, k_environment), coalesce(v_room.after, start), least(2 * v_room.room, most), at,
                    v_at, case when v_mixed then v_next.message_class else 'any' end);
                businesses := businesses || v_lane.businesses; classes := classes || v_lane.classes;
                owners := owners || array_fill(v_owner, array[cardinality(v_lane.businesses)]);
                places := places || array_fill(v_at, array[cardinality(v_lane.businesses)]);
            end if;
        end if;
        -- A null is any number.
        continue when rooms ->> v_owner::text is not null and seen >= peek;
        businesses := businesses || v_at; classes := classes || case when v_mixed then v_next.message_class else 'any' end;
        owners := owners || v_owner; places := places || v_at;
    end loop;
    complete := complete and passed is null and free_at is null;
end
$$;
