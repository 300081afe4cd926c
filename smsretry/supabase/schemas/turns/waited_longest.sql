-- The businesses of the `most` due items of this kind that have waited longest, and how many items there are: a cheap way to
-- see that little or nothing is due. Kinds: smsretry.in_turn.
create or replace function smsretry.waited_longest(
    kind text, at timestamptz, most integer, settled timestamptz, out businesses uuid[], out seen bigint
)
language plpgsql stable set search_path = pg_catalog, pg_temp set enable_sort = off set enable_incremental_sort = off set jit = off as $$
begin
    case kind
    when 'texts' then
        select array_agg(distinct n.business_id), count(*) into businesses, seen
        from (select q.business_id from public.sms_retry_queue q
              where q.status = 'pending' and q.in_doubt_since is null and q.scheduled_for <= at and q.recover_count < smsretry.suspect_after()
              order by q.scheduled_for, q.id limit most) n;
    when 'doubtful' then
        select array_agg(distinct n.business_id), count(*) into businesses, seen
        from (select q.business_id from public.sms_retry_queue q
              where q.status = 'pending' and q.in_doubt_since is not null and q.scheduled_for <= at and q.recover_count < smsretry.suspect_after()
              order by q.scheduled_for, q.id limit most) n;
    when 'scheduled' then
        select array_agg(distinct n.business_id), count(*) into businesses, seen
        from (select s.business_id from public.scheduled_sends s
              where s.status = 'scheduled' and coalesce(s.look_at, s.scheduled_for) <= at
                -- No join, so that the index is walked in order and only as far as needed.
                and coalesce((select h.look_at from smsretry.held_sends h where h.scheduled_id = s.id), at) <= at
              order by coalesce(s.look_at, s.scheduled_for), s.id limit most) n;
    when 'deliveries' then
        select array_agg(distinct n.business_id), count(*) into businesses, seen
        from (select a.business_id from public.sms_send_attempts a
              where a.delivery_look_at <= at and (a.finished_at <= settled or smsretry.is_lost(a.delivery_status))
              order by a.delivery_look_at limit most) n;
    end case;
end
$$;
