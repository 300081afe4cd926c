-- Count the waiting texts of these businesses (null: of all), by sender, business and class.
--   sender_id: null: no run has named the default sender
--   why_code, why: of most of those that wait because of their sender
create or replace function smsretry.texts_by_sender(
    business_ids uuid[],
    at timestamptz
)
returns table (
    sender_id uuid,
    business_id uuid,
    message_class text,
    due bigint,
    waiting bigint,
    held bigint,
    why_code text,
    why text
)
language plpgsql stable set search_path = pg_catalog, pg_temp
-- A generic plan would read the whole table.
set plan_cache_mode = force_custom_plan as $$
begin
    return query
    select
        (smsretry.sender_of(t.business_id, t.message_class)).id,
        t.*
    from (
        select
            q.business_id,
            q.message_class,
            count(*) filter (
                where q.held_since is null
                  and q.scheduled_for <= texts_by_sender.at
            ),
            count(*) filter (
                where q.held_since is null
                  and q.scheduled_for > texts_by_sender.at
            ),
            count(*) filter (where q.held_since is not null),
            mode() within group (order by q.why_code::text) filter (where s.own),
            mode() within group (
                order by left(
                    smsretry.numberless(coalesce(q.why, q.last_error)),
                    200
                )
            ) filter (where s.own)
        from public.sms_retry_queue q
        cross join lateral (
            select q.why_code = any (smsretry.why_codes_of('sender', 'sender_limit'))
        ) s (own)
        where q.work in ('texts', 'suspect')
          and q.in_doubt_since is null
          and (
              texts_by_sender.business_ids is null
              or q.business_id = any (texts_by_sender.business_ids)
          )
        group by q.business_id, q.message_class
    ) t;
end
$$;
