-- Lock up to `most` due texts: whose business was served longest ago goes first, and of its texts the
-- transactional ones. Locked rows are passed over.
-- The businesses whose texts have waited longest are looked at. If more is due than these texts, so
-- are as many others, in a ring: those behind where the last claim stopped looking. So nobody waits
-- behind another's backlog, and no claim looks at everybody.
-- A sender gives as many texts as it sends in half a second, so that threads do not wait for it. It
-- gives none while its slots are reserved, and any number if it is paused or has reached its cap,
-- because these are put off. A sender or a business that has stopped gives one text, which tries
-- it. While everybody has stopped, one text is taken in all, from a sender that has not stopped if
-- there is one.
--   default_sender: the sender of businesses that have none of their own
--   room: as in claim_sms_texts
--   rows: by ctid, under their locks
--   served: businesses that have had their turn, if more is due than was taken
--   behind: where the next claim looks; null: where this one did
--   next_at: when something is due that is not yet
create or replace function smsretry.texts_in_turn(
    most integer,
    at timestamptz,
    default_sender uuid,
    room jsonb,
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
    v_looks constant integer := 2 * greatest(most, 25); -- texts, and businesses of the ring
    v_businesses uuid[];
    v_due integer;
    v_stops constant text[] := array(select s.kind || s.subject from smsretry.stops s);
    v_next_slot timestamptz;
begin
    next_at := (
        select q.scheduled_for
        from public.sms_retry_queue q
        where q.work = 'texts' and q.scheduled_for > at
        order by q.work, q.scheduled_for, q.id
        limit 1
    );
    v_businesses := array(
        select q.business_id
        from public.sms_retry_queue q
        where q.work = 'texts' and q.scheduled_for <= at
        order by q.work, q.scheduled_for, q.id
        limit v_looks
    );
    v_due := cardinality(v_businesses);
    if v_due = 0 then
        return;
    elsif v_due = v_looks then -- perhaps more is
        v_businesses := v_businesses || array(
            with recursive ring (id) as (
                select (select t.business_id from smsretry.turns t where t.kind = 'cursor' limit 1)
                union -- who has been met ends it
                select coalesce(
                    (
                        select q.business_id
                        from public.sms_retry_queue q
                        where q.work = 'texts' and q.business_id > r.id
                        order by q.business_id
                        limit 1
                    ),
                    (
                        select q.business_id
                        from public.sms_retry_queue q
                        where q.work = 'texts'
                        order by q.business_id
                        limit 1
                    )
                )
                from ring r
            )
            select r.id
            from ring r
            limit v_looks
        );
        behind := v_businesses[cardinality(v_businesses)];
    end if;

    with
    -- What each business may send of a class, and how much of it its sender has room for; null: all.
    stream as materialized (
        select
            b.id as business_id,
            c.message_class,
            s.id as sender_id,
            s.free_at - interval '100 ms' as next_slot,
            least(
                (room ->> s.id::text)::integer,
                (room ->> b.id::text)::integer,
                case
                    when s.paused_at is not null
                      or s.day_segments >= s.segments_per_day and s.day_ends_at > at
                        then null
                    when s.free_at > at + interval '100 ms' then 0
                    when 'sender' || s.id = any (v_stops) then 1
                    when s.segments_per_second is not null
                        then greatest(s.segments_per_second / 2, 1)::integer
                end
            ) as room,
            'business' || b.id = any (v_stops) as is_tried,
            b.served
        from (
            select
                d.id,
                (
                    select t.served
                    from smsretry.turns t
                    where t.kind = 'texts' and t.business_id = d.id
                ) as served
            from (select distinct u.id from unnest(v_businesses) u (id)) d
            offset 0
        ) b
        cross join (values ('transactional'), ('marketing')) c (message_class)
        left join lateral (
            select x.*
            from smsretry.senders x
            where x.id = coalesce(
                (
                    select o.sender_id
                    from smsretry.own_senders o
                    where o.business_id = b.id and o.message_class = c.message_class
                ),
                default_sender
            )
            offset 0
        ) s
            on true
    ),
    -- How many texts of each are looked at: all if few are due, and otherwise enough.
    share as materialized (
        select
            case
                when behind is null then most
                else least(most, 1 + v_looks / (1 + count(distinct s.business_id)))
            end as texts
        from stream s
        where s.room is distinct from 0
    ),
    text as (
        select
            s.*,
            d.row,
            row_number() over (
                partition by s.business_id
                order by s.message_class desc, d.scheduled_for, d.id
            ) as turn
        from stream s
        cross join lateral (
            select q.ctid as row, q.scheduled_for, q.id
            from public.sms_retry_queue q
            where q.work = 'texts'
              and q.business_id = s.business_id
              and q.message_class = s.message_class
              and q.scheduled_for <= at
            order by q.scheduled_for, q.id
            limit (select h.texts from share h)
        ) d
        where s.room is distinct from 0
    ),
    -- How many go before it from the same sender.
    turn as (
        select
            t.*,
            row_number() over (
                partition by t.sender_id
                order by t.turn, t.is_tried, t.served nulls first, t.business_id
            ) as nth
        from text t
        where t.turn = 1 or not t.is_tried
    )
    select
        coalesce(array_agg(l.ctid), '{}'),
        array_agg(l.business_id),
        (select min(s.next_slot) from stream s where s.next_slot > at)
    into rows, served, v_next_slot
    from (
        select q.ctid, q.business_id
        from turn t
        join public.sms_retry_queue q on q.ctid = t.row
        where t.nth <= coalesce(t.room, t.nth)
          and q.work = 'texts'
          and q.scheduled_for <= at
        order by
            ('everybody' = any (v_stops) and t.room = 1) is true,
            t.turn,
            t.is_tried,
            t.served nulls first,
            t.business_id
        limit case when 'everybody' = any (v_stops) then least(most, 1) else most end
        for update of q skip locked
    ) l;
    next_at := least(next_at, v_next_slot);
    if behind is null and cardinality(rows) = v_due then
        served := null;
    end if;
end
$$;
