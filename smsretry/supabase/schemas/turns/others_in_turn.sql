-- What is due of these businesses, of work that is not a text to be sent, in turns: each one's longest waiting, then each one's
-- next; of a business at most `each`. Kinds: smsretry.in_turn. enable_sort: as there; the turns are sorted all the same.
create or replace function smsretry.others_in_turn(
    kind text, businesses uuid[], each integer, at timestamptz, settled timestamptz default null
)
returns uuid[] language plpgsql stable set search_path = pg_catalog, pg_temp set enable_sort = off set enable_incremental_sort = off set jit = off as $$
declare
    v_ids uuid[];
begin
    case kind
    when 'doubtful' then
        select array_agg(w.id order by w.turn, b.place) into v_ids
        from unnest(businesses) with ordinality as b (id, place)
        cross join lateral (
            select n.id, row_number() over () as turn
            from (select q.id from public.sms_retry_queue q
                  where q.status = 'pending' and q.in_doubt_since is not null and q.recover_count < smsretry.suspect_after()
                    and (q.business_id, q.scheduled_for) >= (b.id, '-infinity') and (q.business_id, q.scheduled_for) <= (b.id, at)
                  order by q.business_id, q.scheduled_for, q.id limit each) n) w;
    when 'scheduled' then
        select array_agg(w.id order by w.turn, b.place) into v_ids
        from unnest(businesses) with ordinality as b (id, place)
        cross join lateral (
            select n.id, row_number() over () as turn
            from (select s.id from public.scheduled_sends s
                  where s.status = 'scheduled'
                    and (s.business_id, coalesce(s.look_at, s.scheduled_for)) >= (b.id, '-infinity')
                    and (s.business_id, coalesce(s.look_at, s.scheduled_for)) <= (b.id, at)
                    and coalesce((select h.look_at from smsretry.held_sends h where h.scheduled_id = s.id), at) <= at
                  order by s.business_id, coalesce(s.look_at, s.scheduled_for), s.id limit each) n) w;
    when 'deliveries' then
        select array_agg(w.id order by w.turn, b.place) into v_ids
        from unnest(businesses) with ordinality as b (id, place)
        cross join lateral (
            select n.id, row_number() over () as turn
            from (select a.id from public.sms_send_attempts a
                  where a.delivery_look_at is not null
                    and (a.business_id, a.delivery_look_at) >= (b.id, '-infinity') and (a.business_id, a.delivery_look_at) <= (b.id, at)
                    and (a.finished_at <= settled or smsretry.is_lost(a.delivery_status))
                  order by a.business_id, a.delivery_look_at, a.id limit each) n) w;
    end case;
    return v_ids;
end
$$;
