-- Due work of these businesses other than texts, in turns: the longest waiting of each, then the next; at most `each` a
-- business. Kinds, and enable_sort: smsretry.next_in_turn.
create or replace function smsretry.others_in_turn(
    kind text, businesses uuid[], each integer, at timestamptz, settled timestamptz default null
)
returns uuid[] language plpgsql stable set search_path = pg_catalog, pg_temp set enable_sort = off set enable_incremental_sort = off set jit = off as $$
begin
    return (
        select array_agg(w.id order by w.turn, b.place)
        from unnest(businesses) with ordinality as b (id, place)
        cross join lateral (
            select n.id, row_number() over () as turn
            from (
                (select q.id from public.sms_retry_queue q
                 where kind = 'doubtful'
                   and q.status = 'pending' and q.in_doubt_since is not null and q.recover_count < smsretry.suspect_after()
                   and (q.business_id, q.scheduled_for) >= (b.id, '-infinity') and (q.business_id, q.scheduled_for) <= (b.id, at)
                 order by q.business_id, q.scheduled_for, q.id limit each)
                union all
                (select s.id from public.scheduled_sends s
                 where kind = 'scheduled' and s.status = 'scheduled'
                   and (s.business_id, coalesce(s.look_at, s.scheduled_for)) >= (b.id, '-infinity')
                   and (s.business_id, coalesce(s.look_at, s.scheduled_for)) <= (b.id, at)
                   and coalesce((select h.look_at from smsretry.held_sends h where h.scheduled_id = s.id), at) <= at
                 order by s.business_id, coalesce(s.look_at, s.scheduled_for), s.id limit each)
                union all
                (select a.id from public.sms_send_attempts a
                 where kind = 'deliveries' and a.delivery_look_at is not null
                   and (a.business_id, a.delivery_look_at) >= (b.id, '-infinity') and (a.business_id, a.delivery_look_at) <= (b.id, at)
                   and (a.finished_at <= settled or smsretry.is_lost(a.delivery_status))
                 order by a.business_id, a.delivery_look_at, a.id limit each)
            ) n
        ) w);
end
$$;
