-- Up to `most` businesses with due work of this kind, by id round and round from behind `start`. Kinds: smsretry.in_turn.
--   passed: how far was looked, if 5,000 that wait for later came before there were enough
-- One index probe a business; none of its other rows is read. enable_sort is off, so that the order's own index is used.
create or replace function smsretry.next_in_turn(
    kind text, at timestamptz, start uuid, most integer, settled timestamptz, out businesses uuid[], out passed uuid
)
language plpgsql stable set search_path = pg_catalog, pg_temp set enable_sort = off set enable_incremental_sort = off set jit = off as $$
declare
    v_business uuid := start;
    v_class text := 'transactional'; -- the last one: the next step goes to another business
    v_edge timestamptz := 'infinity'; -- likewise
    v_due timestamptz;
    v_wrapped boolean := false;
begin
    businesses := '{}';
    for v_looks in 1 .. 5000 loop
        case kind
        when 'texts' then
            select q.business_id, q.message_class, q.scheduled_for into v_business, v_class, v_due from public.sms_retry_queue q
            where q.status = 'pending' and q.in_doubt_since is null and q.recover_count < smsretry.suspect_after()
              and (q.business_id, q.message_class) > (v_business, v_class)
            order by q.business_id, q.message_class, q.scheduled_for limit 1;
        when 'doubtful' then
            select q.business_id, q.scheduled_for into v_business, v_due from public.sms_retry_queue q
            where q.status = 'pending' and q.in_doubt_since is not null and q.recover_count < smsretry.suspect_after()
              and (q.business_id, q.scheduled_for) > (v_business, v_edge)
            order by q.business_id, q.scheduled_for limit 1;
        when 'scheduled' then
            select s.business_id, coalesce(s.look_at, s.scheduled_for) into v_business, v_due from public.scheduled_sends s
            where s.status = 'scheduled' and (s.business_id, coalesce(s.look_at, s.scheduled_for)) > (v_business, v_edge)
              and coalesce((select h.look_at from smsretry.held_sends h where h.scheduled_id = s.id), at) <= at
            order by s.business_id, coalesce(s.look_at, s.scheduled_for) limit 1;
        when 'deliveries' then
            select a.business_id, a.delivery_look_at into v_business, v_due from public.sms_send_attempts a
            where a.delivery_look_at is not null and (a.business_id, a.delivery_look_at) > (v_business, v_edge)
              and (a.finished_at <= settled or smsretry.is_lost(a.delivery_status))
            order by a.business_id, a.delivery_look_at limit 1;
        end case;
        v_edge := 'infinity';
        if v_business is null then -- there is none behind: on from the first one
            exit when v_wrapped;
            v_wrapped := true;
            v_business := '00000000-0000-0000-0000-000000000000';
            v_class := '';
            v_edge := '-infinity';
            continue;
        end if;
        exit when v_wrapped and v_business > start;
        if v_due <= at then
            businesses := businesses || v_business;
            exit when cardinality(businesses) >= most;
            v_class := 'transactional';
        end if;
        if v_looks = 5000 then
            passed := v_business;
        end if;
    end loop;
end
$$;
