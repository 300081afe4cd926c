-- Report what became of texts, as an array with every row, however many there are.
--   what:
--     businesses: by business and month (UTC): texts sent, the segments of all their messages, how
--       many arrived; how many were lost, by the provider's code (0: without one), failed and were
--       cancelled, by smsretry.why_code; customers who opted out
--     opted_out: the customers who have opted out
--     lost: the texts that failed or did not arrive
--   business_id: of this business alone
--   since, until: between these; null: the last 31 days
create or replace function public.sms_report(
    what text default 'businesses',
    business_id uuid default null,
    since timestamptz default null,
    until timestamptz default null
)
returns json
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_custom_plan as $$
#variable_conflict use_column
declare
    v_until constant timestamptz := coalesce(sms_report.until, smsretry.clock());
    v_since constant timestamptz := coalesce(
        sms_report.since,
        v_until - interval '31 days'
    );
    v_whats constant text[] := case sms_report.what
        when 'businesses'
            then '{delivered,undelivered,unknown,open,failed,cancelled,opted_out}'
        when 'opted_out' then '{opted_out}'
        when 'lost' then '{undelivered,failed}'
    end;
begin
    if v_whats is null then
        raise exception 'what must be businesses, opted_out or lost'
            using errcode = 'SR422';
    end if;
    return (
        with facts as (
            select f.*, left(b.name, 200) as business
            from (
                -- once a text: by the message that arrived, or else its last
                (
                    select distinct on (a.retry_id)
                        a.begun_at as at,
                        smsretry.delivery_of(a.delivery_status) as what,
                        coalesce(a.delivery_code, 0)::text as reason,
                        q.last_error as why,
                        a.business_id,
                        q.customer_id,
                        a.retry_id,
                        sum(a.segments) over (partition by a.retry_id) as segments
                    from public.sms_send_attempts a
                    join public.sms_retry_queue q on q.id = a.retry_id
                    where a.begun_at between v_since and v_until
                      and a.outcome = 'accepted'
                    order by
                        a.retry_id,
                        smsretry.delivery_of(a.delivery_status) <> 'delivered',
                        a.begun_at desc
                )
                union all
                select e.*, null
                from smsretry.ended_texts(v_since, v_until) e
                union all
                select
                    c.sms_consent_at,
                    'opted_out',
                    left(c.sms_consent_source::text, 40),
                    null,
                    c.business_id,
                    c.id,
                    null,
                    null
                from public.customers c
                where c.sms_consent_at between v_since and v_until
                  and c.sms_consent_status::text = 'opted_out'
            ) f
            left join public.businesses b on b.id = f.business_id
            where f.what = any (v_whats)
              and (
                  sms_report.business_id is null
                  or f.business_id = sms_report.business_id
              )
        ),
        counted as (
            select
                to_char(f.at at time zone 'UTC', 'YYYY-MM') as month,
                f.business,
                f.business_id,
                f.what,
                f.reason,
                count(*) as texts,
                sum(f.segments) as segments
            from facts f
            where sms_report.what = 'businesses'
            group by 1, 2, 3, 4, 5
        ),
        months as (
            select
                c.month,
                c.business,
                c.business_id,
                coalesce(
                    sum(c.texts) filter (
                        where c.what in ('delivered', 'undelivered', 'unknown', 'open')
                    ),
                    0
                ) as sent,
                coalesce(sum(c.segments), 0) as segments,
                coalesce(sum(c.texts) filter (where c.what = 'delivered'), 0) as arrived,
                jsonb_object_agg(c.reason, c.texts) filter (
                    where c.what = 'undelivered'
                ) as lost,
                jsonb_object_agg(c.reason, c.texts) filter (
                    where c.what = 'failed'
                ) as failed,
                jsonb_object_agg(c.reason, c.texts) filter (
                    where c.what = 'cancelled'
                ) as cancelled,
                coalesce(sum(c.texts) filter (where c.what = 'opted_out'), 0) as opted_out
            from counted c
            group by c.month, c.business, c.business_id
        ),
        people as (
            select
                f.at,
                f.business,
                f.business_id,
                smsretry.masked(left(c.phone, 40)) as number,
                f.customer_id,
                f.retry_id,
                smsretry.numberless(f.reason) as reason,
                left(smsretry.numberless(left(f.why, 500)), 200) as why
            from facts f
            left join public.customers c on c.id = f.customer_id
            where sms_report.what <> 'businesses'
        )
        select coalesce(json_agg(r.line), '[]')
        from (
            (
                select row_to_json(m)
                from months m
                order by m.business, m.business_id, m.month
            )
            union all
            (select row_to_json(p) from people p order by p.at desc)
        ) r (line)
    );
end
$$;
