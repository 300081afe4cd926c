-- Lock up to `most` due texts: who was served longest ago goes first, and of its texts the
-- transactional ones. Locked rows are passed over.
-- A stream is what a business sends of one class. If few texts are due, all their streams are
-- looked at. Otherwise those behind the business at which the last claim ended are, so that nobody
-- waits behind another's backlog; if these give too little, so are the streams that have waited
-- longest.
-- A sender gives as many texts as it sends in half a second, so that threads do not wait for it. It
-- gives none while its slots are reserved, and any number if it is paused or has reached its cap,
-- because these are put off. A sender or a business that has stopped gives one text, which tries
-- it. While everybody has stopped, one text is taken in all, from a sender that has not stopped if
-- there is one.
--   default_sender: the sender of businesses that have none of their own
--   without: businesses of which nothing is taken
--   room: as in claim_sms_texts
--   rows: by ctid, under their locks
--   served: businesses that have had their turn, if more is due than was taken; none where the
--     cursor alone says whose turn is next
--   behind: where the next claim looks
--   next_at: when something is due that is not yet
create or replace function smsretry.texts_in_turn(
    most integer,
    at timestamptz,
    default_sender uuid,
    without uuid[],
    room jsonb default '{}',
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
    v_least constant integer := greatest(most, 25); -- streams to look at
    v_walk integer := 0; -- and, at most, behind the last claim
    v_stopped record;
    v_oldest record;
    v_turns record;
    v_last uuid;
begin
    select
        coalesce(sum(o.texts), 0) < 4 * v_least as are_all,
        array_agg(o.business_id order by o.due_since) as businesses,
        array_agg(o.message_class order by o.due_since) as classes,
        array_agg(o.first order by o.due_since) as texts
    into v_oldest
    from (
        select
            waiting.business_id,
            waiting.message_class,
            count(*) as texts,
            min(waiting.scheduled_for) as due_since,
            (array_agg(waiting.id order by waiting.scheduled_for, waiting.id))[1] as first
        from (
            select
                q.id,
                q.business_id,
                q.message_class,
                q.scheduled_for
            from public.sms_retry_queue q
            where q.work = 'texts' and q.scheduled_for <= at
            order by q.work, q.scheduled_for, q.id
            limit 4 * v_least
        ) waiting
        group by waiting.business_id, waiting.message_class
    ) o;
    if v_oldest.are_all then
        next_at := (
            select q.scheduled_for
            from public.sms_retry_queue q
            where q.work = 'texts' and q.scheduled_for > at
            order by q.work, q.scheduled_for, q.id
            limit 1
        );
        if v_oldest.businesses is null then
            return;
        end if;
    else
        v_walk := 10 * v_least;
        -- Elsewhere, if another claim is under way: it has locked what comes next.
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
    end if;
    select
        coalesce(bool_or(s.kind = 'everybody'), false) as everybody,
        array_agg(s.subject) filter (where s.kind = 'sender') as senders,
        array_agg(s.subject) filter (where s.kind = 'business') as businesses
    into v_stopped
    from smsretry.stops s;

    with recursive
    -- Streams one after another, until enough have room: first those behind the cursor, by an index
    -- probe each, up to the last business and on from the first; then the oldest.
    stream as (
        select
            0 as place,
            behind as business_id,
            'transactional' as message_class, -- the last one: the next is another business's
            'ffffffff-ffff-ffff-ffff-ffffffffffff'::uuid as until,
            null::uuid as first, -- its oldest text
            false as is_due,
            null::uuid as sender_id,
            null::integer as room, -- for texts of its sender; null: any number
            null::timestamptz as next_slot, -- of a sender that gives none now
            0 as with_room
        union all
        select
            last.place + 1,
            reached.business_id,
            reached.message_class,
            reached.until,
            reached.first,
            reached.is_due,
            s.id,
            r.room,
            case when b.is_busy then s.free_at end,
            last.with_room + (reached.is_due and r.room is distinct from 0)::integer
        from stream last
        cross join lateral (
            select
                q.business_id,
                q.message_class,
                after.until,
                q.id as first,
                q.scheduled_for <= at as is_due
            from (
                values
                    (last.business_id, last.message_class, last.until),
                    (
                        '00000000-0000-0000-0000-000000000000',
                        '',
                        nullif(behind, last.until)
                    )
            ) after (business_id, message_class, until)
            cross join lateral (
                select
                    t.business_id,
                    t.message_class,
                    t.id,
                    t.scheduled_for
                from public.sms_retry_queue t
                where t.work = 'texts'
                  and (
                      t.business_id,
                      t.message_class
                  ) > (after.business_id, after.message_class)
                  and t.business_id <= after.until
                order by
                    t.business_id,
                    t.message_class,
                    t.scheduled_for,
                    t.id
                limit 1
            ) q
            where last.place < v_walk
            union all
            select
                v_oldest.businesses[last.place + 1 - v_walk],
                v_oldest.classes[last.place + 1 - v_walk],
                last.until,
                v_oldest.texts[last.place + 1 - v_walk],
                true
            where last.place >= v_walk
            limit 1
        ) reached
        left join lateral (
            select o.sender_id
            from smsretry.own_senders o
            where o.business_id = reached.business_id
              and o.message_class = reached.message_class
            offset 0
        ) own
            on true
        left join smsretry.senders s on s.id = coalesce(own.sender_id, default_sender)
        cross join lateral (
            select reached.is_due and s.free_at > at + interval '100 ms' as is_busy
        ) b
        cross join lateral (
            select least(
                (texts_in_turn.room ->> s.id::text)::integer,
                (texts_in_turn.room ->> reached.business_id::text)::integer,
                case
                    when reached.business_id = any (without) then 0
                    when s.paused_at is not null
                      or s.day_segments >= s.segments_per_day and s.day_ends_at > at
                        then null
                    when b.is_busy then 0
                    when s.id::text = any (v_stopped.senders) then 1
                    when s.segments_per_second is not null
                        then greatest(s.segments_per_second / 2, 1)::integer
                end
            ) as room
        ) r
        where reached.business_id is not null
          and (
              last.place < v_least
              or last.with_room < most
              or v_oldest.are_all
              or v_stopped.everybody
          )
    ),
    walk as (
        select
            case -- texts of each stream
                when v_oldest.are_all then 4 * v_least
                when max(s.with_room) >= v_least then 1
                else 4 * v_least / greatest(max(s.with_room), 1)
            end as texts,
            min(s.next_slot) as next_slot,
            -- whether businesses take turns; otherwise each has its own as the cursor comes by
            v_oldest.are_all or coalesce(bool_or(s.is_due and s.room >= 0), false) as is_limited,
            -- the business at which the walk ended, if it gave too little
            (
                array_agg(s.business_id) filter (
                    where s.place = v_walk and s.with_room < most
                )
            )[1] as ended_at
        from stream s
    ),
    candidate as (
        select
            t.id,
            chosen.*,
            row_number() over (
                partition by chosen.business_id
                order by chosen.message_class desc, t.scheduled_for, t.id
            ) as turn
        from (
            select distinct on (s.business_id, s.message_class)
                s.place,
                s.business_id,
                s.message_class,
                s.first,
                s.sender_id,
                s.room,
                w.texts,
                s.business_id::text = any (v_stopped.businesses) as is_tried,
                case
                    when w.is_limited
                        then (
                            select u.served
                            from smsretry.turns u
                            where u.kind = 'texts' and u.business_id = s.business_id
                        )
                end as served
            from stream s
            cross join walk w
            where s.is_due and s.room is distinct from 0
            order by s.business_id, s.message_class, s.place
        ) chosen
        cross join lateral (
            select chosen.first as id, at as scheduled_for
            where chosen.texts = 1
            union all
            (
                select q.id, q.scheduled_for
                from public.sms_retry_queue q
                where chosen.texts > 1
                  and q.work = 'texts'
                  and q.business_id = chosen.business_id
                  and q.message_class = chosen.message_class
                  and q.scheduled_for <= at
                order by
                    q.business_id,
                    q.message_class,
                    q.scheduled_for,
                    q.id
                limit chosen.texts
            )
        ) t
    ),
    -- A business whose own texts come to nothing is the last to try its sender.
    ordered as (
        select
            c.*,
            row_number() over (
                partition by c.sender_id
                order by c.turn, c.is_tried is true, c.served nulls first, c.place
            ) as nth
        from candidate c
    )
    select
        w.is_limited,
        w.next_slot,
        w.ended_at,
        t.ids,
        t.due
    into v_turns
    from walk w
    cross join (
        select
            (
                array_agg(
                    c.id
                    order by
                        (v_stopped.everybody and c.room = 1) is true,
                        c.turn,
                        c.is_tried is true,
                        c.served nulls first,
                        c.place
                ) filter (
                    where (c.turn = 1 or c.is_tried is not true)
                      and c.nth <= coalesce(c.room, c.nth)
                )
            )[:4 * v_least] as ids,
            count(*) as due
        from ordered c
    ) t;
    next_at := least(next_at, v_turns.next_slot - interval '100 ms');
    select
        coalesce(array_agg(t.ctid), '{}'),
        coalesce(
            array_agg(t.business_id order by t.place) filter (where v_turns.is_limited),
            '{}'
        ),
        (array_agg(t.business_id order by t.place desc))[1]
    into rows, served, v_last
    from (
        select q.ctid, q.business_id, u.place
        from unnest(v_turns.ids) with ordinality as u (id, place)
        join public.sms_retry_queue q on q.id = u.id
        where q.work = 'texts' and q.scheduled_for <= at
        order by u.place
        limit case when v_stopped.everybody then least(most, 1) else most end
        for update of q skip locked
    ) t;
    if v_oldest.are_all and v_turns.due <= cardinality(rows) then
        served := null;
    else
        behind := coalesce(v_turns.ended_at, v_last);
    end if;
end
$$;
