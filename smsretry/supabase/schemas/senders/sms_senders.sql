-- List the senders, in pages; for a person.
--   after_id: of the last sender of the page before
--   with_numbers: show sent_by, to who may read numbers
--   business_id: only those that text for it
--   troubled: only those that keep texts waiting, do not send, or are too slow for what is due
--   sender, sent_by: as people see it, and all of it
--   named_at: of the default sender alone: when a run last named it
--   used_today: until day_ends_at
--   businesses: how many use it; of the default sender, how many have texts there
--   used_by: the names of 20 of them, those with the most texts first
--   why_code, why: why its texts wait
--   since: when it was paused or stopped
--   held: texts that wait for a person
create or replace function public.sms_senders(
    after_id uuid default null,
    row_limit integer default null,
    with_numbers boolean default false,
    business_id uuid default null,
    troubled boolean default false
)
returns table (
    sender_id uuid,
    account text,
    sender text,
    sent_by text,
    named_at timestamptz,
    segments_per_second double precision,
    segments_per_day integer,
    used_today bigint,
    day_ends_at timestamptz,
    businesses bigint,
    used_by text[],
    why_code text,
    why text,
    since timestamptz,
    due bigint,
    waiting bigint,
    held bigint
)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_custom_plan as $$
#variable_conflict use_column
declare
    v_now constant timestamptz := smsretry.clock();
    v_limit constant integer := greatest(
        smsretry.rows_of_claim(coalesce(sms_senders.row_limit, 1000)),
        1
    );
    v_midnight constant timestamptz := smsretry.carriers_midnight(v_now);
    v_with_numbers constant boolean := sms_senders.with_numbers
        and smsretry.may_read_numbers();
    v_default constant uuid := (smsretry.sender_of(null, null)).id;
    v_codes constant text[] := smsretry.why_codes_of('sender', 'sender_limit');
begin
    return query
    with states as materialized (
        select
            s.*,
            case when s.day_ends_at = v_midnight then s.day_segments else 0 end as used_today,
            coalesce(s.paused_at, x.since) as since,
            coalesce(smsretry.numberless(s.why_paused), x.why) as why
        from smsretry.senders s
        left join smsretry.stops x
            on x.kind = 'sender' and x.subject = s.id::text
    ),
    texts as (
        select
            q.business_id,
            q.message_class,
            count(*) filter (
                where q.held_since is null and q.scheduled_for <= v_now
            ) as due,
            count(*) filter (
                where q.held_since is null and q.scheduled_for > v_now
            ) as waiting,
            count(*) filter (where q.held_since is not null) as held,
            mode() within group (order by q.why_code::text) filter (
                where q.why_code = any (v_codes)
            ) as why_code,
            mode() within group (
                order by left(smsretry.numberless(coalesce(q.why, q.last_error)), 200)
            ) filter (where q.why_code = any (v_codes)) as why
        from public.sms_retry_queue q
        where q.work in ('texts', 'suspect')
          and q.in_doubt_since is null
          and (
              not sms_senders.troubled
              or q.business_id = any (
                  array(
                      -- of businesses that may have trouble alone: a million texts may wait
                      select b.business_id
                      from states s
                      join smsretry.business_senders b on b.sender_id = s.id
                      where s.since is not null
                         or s.used_today >= s.segments_per_day
                      union
                      select h.business_id
                      from public.sms_retry_queue h
                      where h.work in ('texts', 'suspect')
                        and h.held_since is not null
                        and h.why_code = any (smsretry.why_codes_of('sender'))
                      union
                      select d.business_id
                      from public.sms_retry_queue d
                      where d.work = 'texts'
                        and d.scheduled_for <= v_now
                        and exists (
                            select from states s
                            where s.segments_per_second is not null
                        )
                  )
              )
          )
        group by q.business_id, q.message_class
    ),
    users as (
        select
            u.sender_id,
            u.business_id,
            sum(u.due) as due,
            sum(u.waiting) as waiting,
            sum(u.held) as held,
            min(u.why_code) as why_code,
            min(u.why) as why,
            row_number() over (
                partition by u.sender_id
                order by
                    u.business_id = sms_senders.business_id desc,
                    sum(u.held) desc,
                    sum(u.due) desc,
                    sum(u.waiting) desc,
                    u.business_id
            ) as place
        from (
            select (smsretry.sender_of(t.business_id, t.message_class)).id as sender_id, t.*
            from texts t
            union all
            select b.sender_id, b.business_id, b.message_class, 0, 0, 0, null, null
            from smsretry.business_senders b
        ) u
        group by u.sender_id, u.business_id
    ),
    totals as (
        select
            u.sender_id,
            count(*) as businesses,
            array_agg(
                coalesce(left(b.name, 200), u.business_id::text)
                order by u.place
            ) filter (where u.place <= 20) as used_by,
            sum(u.due)::bigint as due,
            sum(u.waiting)::bigint as waiting,
            sum(u.held)::bigint as held,
            (
                array_agg(u.why_code order by u.place) filter (
                    where u.why_code is not null
                )
            )[1] as why_code,
            (
                array_agg(u.why order by u.place) filter (
                    where u.why_code is not null
                )
            )[1] as why
        from users u
        left join public.businesses b on b.id = u.business_id
        group by u.sender_id
    )
    select
        s.id,
        s.account,
        smsretry.shown_sender(s.sent_by),
        case when v_with_numbers then s.sent_by end,
        case when s.id = v_default then s.named_at end,
        s.segments_per_second,
        s.segments_per_day,
        s.used_today,
        v_midnight,
        coalesce(t.businesses, 0),
        coalesce(t.used_by, '{}'),
        case
            when s.paused_at is not null then 'sender_paused'
            when s.since is not null then 'sending_stopped'
            when s.used_today >= s.segments_per_day and t.due + t.waiting + t.held > 0
                then 'day_spent'
            when t.why_code is not null then t.why_code
            when t.due >= s.segments_per_second * extract(
                epoch from smsretry.late_after()
            )
                then 'sender_rate'
        end,
        coalesce(s.why, t.why),
        s.since,
        coalesce(t.due, 0),
        coalesce(t.waiting, 0),
        coalesce(t.held, 0)
    from states s
    left join totals t on t.sender_id = s.id
    where s.id > coalesce(
        sms_senders.after_id,
        '00000000-0000-0000-0000-000000000000'
    )
      and (
          sms_senders.business_id is null
          or s.id in (
              select (smsretry.sender_of(sms_senders.business_id, k.class)).id
              from unnest(array['marketing', 'transactional']) k (class)
          )
      )
      and (
          not sms_senders.troubled
          or s.since is not null
          or t.due + t.waiting + t.held > 0
      )
    order by s.id
    limit v_limit;
end
$$;
