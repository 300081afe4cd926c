-- The businesses, and the classes, of the `most` due texts that have waited longest, and how many texts there are; in order of
-- turns behind `start`. enable_sort: smsretry.next_in_turn.
create or replace function smsretry.oldest_texts(
    at timestamptz, start uuid, most integer, out businesses uuid[], out classes text[], out seen bigint
)
language plpgsql stable set search_path = pg_catalog, pg_temp set enable_sort = off set enable_incremental_sort = off set jit = off as $$
begin
    select array_agg(d.business_id order by d.business_id <= start, d.business_id, d.message_class),
           array_agg(d.message_class order by d.business_id <= start, d.business_id, d.message_class), coalesce(sum(d.n), 0)
    into businesses, classes, seen
    from (
        select n.business_id, n.message_class, count(*) as n
        from (select q.business_id, q.message_class from public.sms_retry_queue q
              where q.status = 'pending' and q.in_doubt_since is null and q.scheduled_for <= at and q.recover_count < smsretry.suspect_after()
              order by q.scheduled_for, q.id limit most) n
        group by n.business_id, n.message_class
    ) d;
end
$$;
