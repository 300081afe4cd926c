-- Lock up to `most` due texts: who was served longest ago goes first, and of its texts the
-- transactional ones. Locked rows are passed over, and streams without room (smsretry.capacities, which
-- says what the other parameters are). If few texts are due, all of them are looked at. Otherwise
-- the streams behind the business at which the last claim ended are, so that nobody waits behind
-- another's backlog, and if these have too little, what has waited longest.
-- While everybody has stopped it is one text, of a sender that has not stopped if there is one.
--   rows: by ctid, under their locks · served: the businesses that have had their turn, if more is
--   due than was taken; none where the cursor alone tells whose turn is next · behind: where the next
--   claim looks
--   next_at: when something is due that is not yet · nothing is due: that alone
create or replace function smsretry.texts_in_turn(
    most integer,
    at timestamptz,
    environment uuid,
    without uuid[],
    out rows tid[],
    out served uuid[],
    out behind uuid,
    out next_at timestamptz
)
language plpgsql set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_generic_plan
-- Without statistics a plan would read whole tables instead of the first rows of an index.
set enable_seqscan = off set enable_sort = off set enable_incremental_sort = off
set enable_hashjoin = off set enable_mergejoin = off set jit = off as $$
#variable_conflict use_variable
declare
    k_steps constant integer := 10;
    v_step constant integer := greatest(most, 25);
    v_is_trial constant boolean := exists (
        select from smsretry.stops s
        where s.kind = 'everybody'
    );
    v_oldest record;
    v_found record;
    v_first uuid; -- the cursor at first
    -- whether a sender has room for some alone: these take turns, and else each has its own as the
    -- cursor comes by
    v_limited boolean := false;
    v_last uuid;
    v_class text := 'transactional'; -- the last one: the next stream is another business's
    v_looks integer;
    v_new jsonb;
    v_streams jsonb := '[]';
    v_each integer;
begin
    select
        coalesce(jsonb_agg(to_jsonb(o)), '[]') as streams,
        coalesce(sum(cardinality(o.texts)), 0) < 4 * v_step as are_all
    into v_oldest
    from (
        select
            n.business_id,
            n.message_class,
            array_agg(n.id order by n.scheduled_for, n.id) as texts
        from (
            select
                q.id,
                q.business_id,
                q.message_class,
                q.scheduled_for
            from public.sms_retry_queue q
            where q.work = 'texts' and q.scheduled_for <= at
            order by q.work, q.scheduled_for, q.id
            limit 4 * v_step
        ) n
        group by n.business_id, n.message_class
    ) o;
    if v_oldest.are_all then
        next_at := (
            select q.scheduled_for
            from public.sms_retry_queue q
            where q.work = 'texts' and q.scheduled_for > at
            order by q.work, q.scheduled_for, q.id
            limit 1
        );
    else
        -- elsewhere if another claim is under way, because that one has locked what comes next
        behind := case
            when pg_try_advisory_xact_lock(
                hashtextextended('smsretry.turns texts', 0)
            )
                then coalesce(
                    (
                        select t.business_id
                        from smsretry.turns t
                        where t.kind = 'cursor'
                        limit 1
                    ),
                    '00000000-0000-0000-0000-000000000000'
                )
            else gen_random_uuid()
        end;
        v_first := behind;
    end if;
    if v_oldest.streams = '[]' then
        return;
    end if;
    for v_count in 1 .. k_steps + 1 loop
        if v_oldest.are_all or v_count > k_steps then
            v_new := v_oldest.streams;
        else
            -- The next streams round and round, with their oldest text if it is due: one index probe
            -- each.
            with recursive stream (n, business_id, message_class, id, due, first) as (
                select
                    0,
                    behind,
                    v_class,
                    null::uuid,
                    false,
                    null::text
                union all
                select
                    l.n + 1,
                    x.business_id,
                    x.message_class,
                    x.id,
                    x.scheduled_for <= at,
                    coalesce(l.first, x.business_id || x.message_class)
                from stream l
                cross join lateral (
                    (
                        select
                            q.business_id,
                            q.message_class,
                            q.id,
                            q.scheduled_for
                        from public.sms_retry_queue q
                        where q.work = 'texts'
                          and (
                              q.business_id,
                              q.message_class
                          ) > (l.business_id, l.message_class)
                        order by
                            q.business_id,
                            q.message_class,
                            q.scheduled_for,
                            q.id
                        limit 1
                    )
                    union all
                    -- there is none behind
                    (
                        select
                            q.business_id,
                            q.message_class,
                            q.id,
                            q.scheduled_for
                        from public.sms_retry_queue q
                        where q.work = 'texts'
                        order by
                            q.business_id,
                            q.message_class,
                            q.scheduled_for,
                            q.id
                        limit 1
                    )
                    limit 1
                ) x
                where l.n < v_step
                  and x.business_id || x.message_class is distinct from l.first
            )
            select
                jsonb_agg(
                    jsonb_build_object(
                        'business_id', l.business_id,
                        'message_class', l.message_class,
                        'texts', array[l.id]
                    )
                ) filter (where l.due),
                max(l.n),
                (array_agg(l.business_id order by l.n desc))[1],
                (array_agg(l.message_class order by l.n desc))[1]
            into v_new, v_looks, behind, v_class
            from stream l;
        end if;
        select
            v_streams
                || coalesce(
                    jsonb_agg(to_jsonb(r)) filter (
                        where r.of_sender is distinct from 0
                    ),
                    '[]'
                ),
            coalesce(bool_or(r.of_sender is not null), false)
                or v_limited,
            least(next_at, min(r.free_at) - interval '100 ms')
        into v_streams, v_limited, next_at
        from smsretry.capacities(coalesce(v_new, '[]'), at, environment, without) r;
        exit when v_oldest.are_all
            or v_looks < v_step
            or jsonb_array_length(v_streams) >= most and not v_is_trial;
    end loop;

    -- Of each sender the texts of the streams that were served longest ago, as many as there is room
    -- for. A business whose own texts come to nothing is the last to try its sender.
    v_each := case
        when jsonb_array_length(v_streams) >= v_step then 1
        else 4 * v_step / greatest(jsonb_array_length(v_streams), 1)
    end;
    select
        coalesce(
            (
                array_agg(
                    c.id
                    order by
                        (v_is_trial and c.of_sender = 1) is true,
                        c.turn,
                        c.of_business nulls first,
                        c.served nulls first,
                        c.business_id <= v_first,
                        c.business_id
                ) filter (
                    where c.turn <= coalesce(c.of_business, c.turn)
                      and c.nth <= coalesce(c.of_sender, c.nth)
                )
            )[:4 * v_step],
            '{}'
        ) as ids,
        count(*) as due
    into v_found
    from (
        select
            d.*,
            row_number() over (
                partition by d.sender_id
                order by
                    d.turn,
                    d.of_business nulls first,
                    d.served nulls first,
                    d.business_id <= v_first,
                    d.business_id
            ) as nth
        from (
            select
                t.id,
                l.*,
                row_number() over (
                    partition by l.business_id
                    order by l.message_class desc, t.place
                ) as turn,
                case
                    when v_oldest.are_all or v_limited
                        then (
                            select u.served
                            from smsretry.turns u
                            where u.kind = 'texts' and u.business_id = l.business_id
                        )
                end as served
            from (
                select distinct on (e.business_id, e.message_class) e.*
                from jsonb_to_recordset(v_streams) as e (
                    business_id uuid,
                    message_class text,
                    texts uuid[],
                    sender_id uuid,
                    of_sender integer,
                    of_business integer
                )
            ) l
            cross join unnest(
                case
                    when v_oldest.are_all or v_each = 1 then l.texts
                    else array(
                        select q.id
                        from public.sms_retry_queue q
                        where q.work = 'texts'
                          and q.business_id = l.business_id
                          and q.message_class = l.message_class
                          and q.scheduled_for <= at
                        order by
                            q.business_id,
                            q.message_class,
                            q.scheduled_for,
                            q.id
                        limit v_each
                    )
                end
            ) with ordinality t (id, place)
        ) d
    ) c;
    select
        coalesce(array_agg(t.ctid), '{}'),
        coalesce(
            array_agg(t.business_id order by t.place) filter (
                where v_oldest.are_all or v_limited
            ),
            '{}'
        ),
        (array_agg(t.business_id order by t.place desc))[1]
    into rows, served, v_last
    from (
        select q.ctid, q.business_id, u.place
        from unnest(v_found.ids) with ordinality as u (id, place)
        join public.sms_retry_queue q on q.id = u.id
        where q.work = 'texts' and q.scheduled_for <= at
        order by u.place
        limit case when v_is_trial then least(most, 1) else most end
        for update of q skip locked
    ) t;
    if v_oldest.are_all and v_found.due <= cardinality(rows) then
        served := null;
    elsif jsonb_array_length(v_streams) >= most or v_looks < v_step then
        behind := v_last; -- otherwise the next claim looks further
    end if;
end
$$;
