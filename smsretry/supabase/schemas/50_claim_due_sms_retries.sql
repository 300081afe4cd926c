-- Take up to limit_count due rows, business by business in turns: each one's first due row, then each one's second. Within
-- a business, transactional texts come first, then those whose window closes within the hour. limit_count is clamped to 500, because PostgREST truncates answers at 1000.
-- Rows in doubt are not taken: the caller sends what it gets. Nor are rows under suspicion: claim_suspect_sms_retry.
-- claimed_at in the answer is the database's clock.
-- begins: whether the caller begins each send with begin_sms_attempt. The application's own processor does not; a claim of
-- its is a send that may have been made, and comes into doubt when the processor dies.
create or replace function public.claim_due_sms_retries(limit_count integer default 50, begins boolean default false)
returns setof smsretry.claimed_retry
language plpgsql security invoker set search_path = pg_catalog, pg_temp
-- A generic plan does not know the limit, expects thousands of candidates, and would read the whole queue to join them.
set enable_hashjoin = off set enable_mergejoin = off
-- As on Supabase, and wherever else PostgREST runs: a claim whose caller has given it up would keep its rows.
set statement_timeout = '8s' as $$
#variable_conflict use_column
declare
    v_now constant timestamptz := smsretry.clock();
    v_limit constant integer := least(greatest(coalesce(limit_count, 50), 0), 500);
    -- Several times the limit, so that rows which other claimers hold locked can be passed over.
    v_peek constant integer := greatest(4 * v_limit, 200);
    v_soon constant timestamptz := v_now + interval '1 hour';
    v_candidates uuid[];
    v_businesses uuid[];
    v_start uuid;
    v_ids uuid[];
begin
    v_candidates := array(
        select q.id from public.sms_retry_queue q
        where q.status = 'pending' and q.in_doubt_since is null and q.scheduled_for <= v_now and q.recover_count < 2
        order by q.scheduled_for, q.id
        limit v_peek);
    if cardinality(v_candidates) = 0 then
        return;
    end if;
    if cardinality(v_candidates) = v_peek then
        -- There may be more, of businesses that are not among them. They are walked from a place that is another for each
        -- claim, so that each has its turn where they are too many to walk.
        v_start := md5(v_now::text)::uuid;
        v_businesses := array(select b from smsretry.businesses_from(v_start, null, v_now, 2 * v_limit) b);
        v_businesses := v_businesses || array(
            select b from smsretry.businesses_from(
                '00000000-0000-0000-0000-000000000000', v_start, v_now, 2 * v_limit - cardinality(v_businesses)) b);
        v_candidates := v_candidates || array(
            select d.id from unnest(v_businesses) as b (id)
            cross join lateral (
                (select q.id from public.sms_retry_queue q
                 where q.status = 'pending' and q.in_doubt_since is null and q.message_class = 'transactional'
                   and q.business_id = b.id and q.scheduled_for <= v_now and q.recover_count < 2
                 order by q.scheduled_for, q.id limit 4 * v_limit / greatest(cardinality(v_businesses), 1) + 1)
                union
                (select q.id from public.sms_retry_queue q
                 where q.status = 'pending' and q.in_doubt_since is null
                   and q.business_id = b.id and q.window_closes_at between v_now and v_soon and q.scheduled_for <= v_now and q.recover_count < 2
                 order by q.window_closes_at, q.id limit 4 * v_limit / greatest(cardinality(v_businesses), 1) + 1)
                union
                (select q.id from public.sms_retry_queue q
                 where q.status = 'pending' and q.in_doubt_since is null
                   and q.business_id = b.id and q.scheduled_for <= v_now and q.recover_count < 2
                 order by q.scheduled_for, q.id limit 4 * v_limit / greatest(cardinality(v_businesses), 1) + 1)
            ) d);
    end if;
    -- Materialized and apart from the update: `update … where id in (select … limit n for update skip locked)` may run its
    -- subquery once a row on a table without statistics, and then claims far more than n.
    with candidate as materialized (
        select d.id, d.scheduled_for, d.closes_soon, row_number() over (
                   partition by d.business_id order by d.message_class desc, d.closes_soon, d.scheduled_for, d.id) as turn
        from (
            select q.id, q.business_id, q.message_class, q.scheduled_for,
                   case when q.window_closes_at between v_now and v_soon then q.window_closes_at end as closes_soon
            from (select distinct c.id from unnest(v_candidates) as c (id)) c
            join public.sms_retry_queue q on q.id = c.id
        ) d
    ),
    due as materialized (
        select q.id
        from candidate c
        join public.sms_retry_queue q on q.id = c.id
        where q.status = 'pending' and q.in_doubt_since is null and q.scheduled_for <= v_now
        order by c.turn, c.closes_soon, c.scheduled_for, c.id
        limit v_limit
        for update of q skip locked
    )
    select array_agg(d.id) into v_ids from due d;

    return query select * from smsretry.take(v_ids, v_now, begins is not true);
end
$$;

revoke all on function public.claim_due_sms_retries from public, anon, authenticated;
grant execute on function public.claim_due_sms_retries to service_role;
