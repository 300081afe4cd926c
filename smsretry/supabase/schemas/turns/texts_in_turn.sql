-- Lock up to `most` due texts: who was served longest ago goes first, and of its texts the transactional ones. Locked rows are
-- passed over, and lanes without room (smsretry.rooms, which says what the other parameters are).
-- The oldest 4 × most are looked at. If that is not all, the lanes behind the business that was served last are, too, so that
-- nobody waits behind another's backlog.
--   served: the businesses, if more is due than was taken · next_at: when something is due that is not yet
create or replace function smsretry.texts_in_turn(
    most integer, at timestamptz, environment uuid, without uuid[], out ids uuid[], out served uuid[], out next_at timestamptz
)
language plpgsql set search_path = pg_catalog, pg_temp set plan_cache_mode = force_generic_plan
-- Without statistics a plan would read whole tables instead of the first rows of an index.
set enable_sort = off set enable_incremental_sort = off set enable_hashjoin = off set enable_mergejoin = off set jit = off as $$
#variable_conflict use_variable
declare
    k_first constant uuid := '00000000-0000-0000-0000-000000000000';
    k_steps constant integer := 5;
    v_peek constant integer := 4 * greatest(most, 25);
    v_step constant integer := 2 * greatest(most, 25);
    v_businesses uuid[];
    v_classes text[];
    v_seen integer;
    v_behind uuid;
    v_class text := 'transactional'; -- the last one: the next lane is another business's
    v_looks integer;
    v_found record;
    v_with_room integer := 0;
    v_lanes jsonb := '[]';
begin
    select array_agg(o.business_id), array_agg(o.message_class), coalesce(sum(o.n), 0) into v_businesses, v_classes, v_seen
    from (select n.business_id, n.message_class, count(*) as n
          from (select q.business_id, q.message_class from public.sms_retry_queue q
                where q.work = 'texts' and q.scheduled_for <= at order by q.work, q.scheduled_for, q.id limit v_peek) n
          group by n.business_id, n.message_class) o;
    if v_seen < v_peek then -- these are all
        next_at := (select q.scheduled_for from public.sms_retry_queue q
                    where q.work = 'texts' and q.scheduled_for > at order by q.work, q.scheduled_for, q.id limit 1);
    end if;
    for v_count in 0 .. k_steps loop
        if v_count = 1 then
            v_behind := coalesce((select t.business_id from smsretry.turns t where t.kind = 'texts'
                                  order by t.kind desc, t.served desc, t.business_id desc limit 1), k_first);
        end if;
        if v_count > 0 then
            -- The next lanes round and round, and whether their oldest text is due: one index probe each, and none of its other texts.
            with recursive lane (n, business_id, message_class, due, first) as (
                select 0, v_behind, v_class, false, null::text
                union all
                select l.n + 1, x.business_id, x.message_class, x.scheduled_for <= at, coalesce(l.first, x.business_id || x.message_class)
                from lane l
                cross join lateral (
                    (select q.business_id, q.message_class, q.scheduled_for from public.sms_retry_queue q
                     where q.work = 'texts' and (q.business_id, q.message_class) > (l.business_id, l.message_class)
                     order by q.business_id, q.message_class, q.scheduled_for, q.id limit 1)
                    union all -- there is none behind
                    (select q.business_id, q.message_class, q.scheduled_for from public.sms_retry_queue q
                     where q.work = 'texts' order by q.business_id, q.message_class, q.scheduled_for, q.id limit 1)
                    limit 1) x
                where l.n < v_step and x.business_id || x.message_class is distinct from l.first)
            select array_agg(l.business_id) filter (where l.due), array_agg(l.message_class) filter (where l.due), max(l.n),
                   (array_agg(l.business_id order by l.n desc))[1], (array_agg(l.message_class order by l.n desc))[1]
            into v_businesses, v_classes, v_looks, v_behind, v_class
            from lane l;
        end if;
        select coalesce(jsonb_agg(r) filter (where r.of_sender is distinct from 0), '[]') as lanes, min(r.free_at) as free_at into v_found
        from smsretry.rooms(v_businesses, v_classes, at, environment, without) r;
        v_lanes := v_lanes || v_found.lanes;
        v_with_room := case when v_count > 0 then v_with_room + jsonb_array_length(v_found.lanes) else 0 end;
        next_at := least(next_at, v_found.free_at - interval '100 ms');
        exit when v_seen < v_peek or v_with_room >= most or v_looks < v_step;
    end loop;

    ids := '{}';
    if v_lanes = '[]' then
        return;
    end if;
    -- Of each sender, the lanes that were served longest ago; of these, some texts each; and of those as many as there is room for.
    -- A business whose own texts come to nothing is the last to try its sender.
    select coalesce(array_agg(c.id order by c.turn, c.of_business nulls first, c.served nulls first, c.business_id)
                        filter (where c.turn <= coalesce(c.of_business, c.turn) and c.nth <= coalesce(c.of_sender, c.nth)), '{}') as ids,
           count(*) as due
    into v_found
    from (
        select d.*, row_number() over (partition by d.sender_id order by d.turn, d.of_business nulls first, d.served nulls first, d.business_id) as nth
        from (
            select t.id, l.*, row_number() over (partition by l.business_id order by l.message_class desc, t.scheduled_for, t.id) as turn
            from (
                select o.*, count(*) over () as lanes
                from (
                    select r.*, u.served, row_number() over (partition by r.sender_id order by u.served nulls first, r.business_id) as nth_lane
                    from (select distinct e.* from jsonb_to_recordset(v_lanes) as e (
                              business_id uuid, message_class text, sender_id uuid, of_sender integer, of_business integer)) r
                    left join smsretry.turns u on u.kind = 'texts' and u.business_id = r.business_id
                ) o
                where o.nth_lane <= coalesce(2 * o.of_sender, o.nth_lane)
                order by o.served nulls first, o.business_id limit v_step
            ) l
            cross join lateral (
                select q.id, q.scheduled_for from public.sms_retry_queue q
                where q.work = 'texts' and q.business_id = l.business_id and q.message_class = l.message_class and q.scheduled_for <= at
                order by q.business_id, q.message_class, q.scheduled_for, q.id limit 1 + 4 * v_step / l.lanes) t
        ) d
    ) c;
    ids := array(
        select q.id from unnest(v_found.ids) with ordinality as u (id, place)
        join public.sms_retry_queue q on q.id = u.id
        where q.work = 'texts' and q.scheduled_for <= at
        order by u.place limit most for update of q skip locked);
    if v_found.due > cardinality(ids) or v_seen = v_peek then
        served := array(select q.business_id from unnest(ids) with ordinality as u (id, place)
                        join public.sms_retry_queue q on q.id = u.id order by u.place);
        if v_looks = v_step and v_with_room < most then
            served := served || v_behind; -- so that the next claim looks further
        end if;
    end if;
end
$$;
