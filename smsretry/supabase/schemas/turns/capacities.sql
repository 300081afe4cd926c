-- How many texts a claim may take of each of these streams. A stream is what a business sends of one
-- class, through one sender.
--   streams: [{business_id, message_class, texts}] · environment: the sender of businesses that have
--   none of their own
--   without: senders and businesses of which nothing is taken
--   of_sender: about half a second's worth, so that its texts are ready when it is, and others'
--   threads do not wait for it; null:
--     any number. A sender that is paused, or has used its day, has room: its texts are put off,
--     which costs no time
--   of_business: one, if its own texts come to nothing; null: any number · free_at: until when the
--   sender is busy
create or replace function smsretry.capacities(
    streams jsonb,
    at timestamptz,
    environment uuid,
    without uuid[]
)
returns table (
    business_id uuid,
    message_class text,
    texts uuid[],
    sender_id uuid,
    of_sender integer,
    of_business integer,
    free_at timestamptz
)
language plpgsql stable set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_generic_plan set enable_hashjoin = off
set enable_mergejoin = off as $$
#variable_conflict use_column
begin
    return query
    select
        l.business_id,
        l.message_class,
        l.texts,
        s.id,
        case
            when s.id = any (capacities.without)
              or l.business_id = any (capacities.without)
                then 0
            when s.paused_at is not null
              or s.day_segments >= s.segments_per_day
                  and s.day_ends_at > capacities.at
                then null
            when b.is_busy then 0
            when s.id::text = any (x.senders) then 1
            when s.segments_per_second is not null
                then greatest(s.segments_per_second / 2, 1)::integer
        end,
        case when l.business_id::text = any (x.businesses) then 1 end,
        case when b.is_busy then s.free_at end
    from (
        select
            array_agg(o.subject) filter (where o.kind = 'sender') as senders,
            array_agg(o.subject) filter (where o.kind = 'business') as businesses
        from smsretry.stops o
        offset 0
    ) x
    cross join jsonb_to_recordset(capacities.streams) as l (
        business_id uuid,
        message_class text,
        texts uuid[]
    )
    left join lateral (
        select o.sender_id
        from smsretry.business_senders o
        where o.business_id = l.business_id
          and o.message_class in (l.message_class, 'any')
        order by o.message_class = 'any'
        limit 1
    ) own
        on true
    left join smsretry.senders s
        on s.id = coalesce(own.sender_id, capacities.environment)
    -- More than an hour: the clock was set back.
    cross join lateral (
        select s.free_at > capacities.at + interval '100 ms'
            and s.free_at < capacities.at + interval '1 hour' as is_busy
    ) b;
end
$$;
