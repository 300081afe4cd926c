-- Take up to limit_count due rows, business by business in turns: each one's first due row, then each one's second.
-- limit_count is clamped to 500, because PostgREST truncates answers at 1000. Rows in doubt are not taken: the caller
-- sends what it gets. Nor are rows under suspicion: claim_suspect_sms_retry. claimed_at in the answer is the database's
-- clock.
-- begins: whether the caller begins each send with begin_sms_attempt. The application's own processor does not; a claim of
-- its is a send that may have been made, and comes into doubt when the processor dies.
create or replace function public.claim_due_sms_retries(limit_count integer default 50, begins boolean default false)
returns setof smsretry.claimed_retry
language plpgsql security invoker set search_path = pg_catalog, pg_temp
-- A generic plan does not know the limit, expects thousands of candidates, and would read the whole queue to join them.
set enable_hashjoin = off set enable_mergejoin = off as $$
#variable_conflict use_column
declare
    v_now constant timestamptz := smsretry.clock();
    v_limit constant integer := least(greatest(coalesce(limit_count, 50), 0), 500);
    v_ids uuid[];
begin
    with recursive business (id) as (
        -- One index probe a business, instead of reading every due row of the busiest one.
        (select q.business_id from public.sms_retry_queue q
         where q.status = 'pending' and q.in_doubt_since is null
         order by q.business_id limit 1)
        union all
        select (select q.business_id from public.sms_retry_queue q
                where q.status = 'pending' and q.in_doubt_since is null and q.business_id > b.id
                order by q.business_id limit 1)
        from business b where b.id is not null
    ),
    candidate as materialized (
        -- Twice the limit, so that rows which another claimer holds locked can be passed over.
        select d.id, d.scheduled_for,
               row_number() over (partition by b.id order by d.scheduled_for, d.id) as turn
        from business b
        cross join lateral (
            select q.id, q.scheduled_for from public.sms_retry_queue q
            where q.status = 'pending' and q.in_doubt_since is null
              and q.business_id = b.id and q.scheduled_for <= v_now and q.recover_count < 2
            order by q.scheduled_for, q.id
            limit 2 * v_limit
        ) d
        where b.id is not null
    ),
    -- Materialized and apart from the update: `update … where id in (select … limit n for update skip locked)` may run its
    -- subquery once a row on a table without statistics, and then claims far more than n.
    due as materialized (
        select q.id
        from candidate c
        join public.sms_retry_queue q on q.id = c.id
        where q.status = 'pending' and q.in_doubt_since is null and q.scheduled_for <= v_now
        order by c.turn, c.scheduled_for, c.id
        limit v_limit
        for update of q skip locked
    )
    select array_agg(d.id) into v_ids from due d;

    return query select * from smsretry.take(v_ids, v_now, begins is not true);
end
$$;

revoke all on function public.claim_due_sms_retries from public, anon, authenticated;
grant execute on function public.claim_due_sms_retries to service_role;
