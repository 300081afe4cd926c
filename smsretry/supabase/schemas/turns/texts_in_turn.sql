-- Due texts of these businesses, in turns: the first of each, then the second. Within a business, transactional texts come
-- first, then those whose window closes within the hour. At most `each` of each class of a business. enable_sort: next_in_turn.
--   classes: of each business, any, or those of one class · place: which of the businesses · turn: its first, second …
create or replace function smsretry.texts_in_turn(
    businesses uuid[], each integer, at timestamptz, classes text[] default null, out id uuid, out place bigint, out turn bigint
)
returns setof record language sql stable set search_path = pg_catalog, pg_temp set enable_sort = off set enable_incremental_sort = off set jit = off as $$
    select c.id, b.place, row_number() over (
               partition by b.place order by c.message_class desc, c.closes_soon, c.scheduled_for, c.id)
    from unnest(texts_in_turn.businesses) with ordinality as b (id, place)
    cross join lateral (
        select d.id, d.message_class, d.scheduled_for,
               case when d.window_closes_at between texts_in_turn.at and texts_in_turn.at + interval '1 hour'
                    then d.window_closes_at end as closes_soon
        from (
            (select q.id, q.message_class, q.scheduled_for, q.window_closes_at from public.sms_retry_queue q
             where q.status = 'pending' and q.in_doubt_since is null and q.recover_count < smsretry.suspect_after()
               and coalesce(texts_in_turn.classes[b.place], 'any') <> 'marketing'
               and (q.business_id, q.message_class, q.scheduled_for) >= (b.id, 'transactional', '-infinity')
               and (q.business_id, q.message_class, q.scheduled_for) <= (b.id, 'transactional', texts_in_turn.at)
             order by q.business_id, q.message_class, q.scheduled_for, q.id limit texts_in_turn.each)
            union
            (select q.id, q.message_class, q.scheduled_for, q.window_closes_at from public.sms_retry_queue q
             where q.status = 'pending' and q.in_doubt_since is null and q.recover_count < smsretry.suspect_after()
               and coalesce(texts_in_turn.classes[b.place], q.message_class) in ('any', q.message_class)
               and q.window_closes_at is not null and q.scheduled_for <= texts_in_turn.at
               and (q.business_id, q.window_closes_at) >= (b.id, texts_in_turn.at)
               and (q.business_id, q.window_closes_at) <= (b.id, texts_in_turn.at + interval '1 hour')
             order by q.business_id, q.window_closes_at, q.id limit texts_in_turn.each)
            union
            (select q.id, q.message_class, q.scheduled_for, q.window_closes_at from public.sms_retry_queue q
             where q.status = 'pending' and q.in_doubt_since is null and q.recover_count < smsretry.suspect_after()
               and coalesce(texts_in_turn.classes[b.place], 'any') <> 'transactional'
               and (q.business_id, q.message_class, q.scheduled_for) >= (b.id, 'marketing', '-infinity')
               and (q.business_id, q.message_class, q.scheduled_for) <= (b.id, 'marketing', texts_in_turn.at)
             order by q.business_id, q.message_class, q.scheduled_for, q.id limit texts_in_turn.each)
        ) d
    ) c
$$;
