-- Rows from before a restore for doubt_sms_retries to put in doubt, locked; last those that it leaves alone, with the
-- reason. A million rows cost no more than a batch: the others come into doubt when their send is to begin.
create or replace function smsretry.forgotten_candidates(
    since timestamptz, restored_at timestamptz, row_limit integer, at timestamptz, out id uuid, out skip text
)
returns setof record language plpgsql set search_path = pg_catalog, pg_temp
-- Without statistics the planner would read all rows for each candidate.
set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off as $$
declare
    v_peek constant integer := 4 * forgotten_candidates.row_limit; -- some are left alone
begin
    return query
    with candidate as materialized (
        (select q.id from public.sms_retry_queue q
         where q.status = 'processing' order by q.id limit v_peek)
        union all
        (select q.id from public.sms_retry_queue q
         where q.status = 'pending' and q.in_doubt_since is not null and q.in_doubt_since < forgotten_candidates.since
         order by q.scheduled_for, q.id limit v_peek)
        union all
        (select q.id from public.sms_retry_queue q
         where q.status = 'pending' and q.in_doubt_since is null and q.scheduled_for <= forgotten_candidates.at
         order by q.scheduled_for, q.id limit v_peek)
    )
    select q.id, k.skip
    from candidate o
    join public.sms_retry_queue q on q.id = o.id
    cross join lateral (select case
        when q.status = 'processing' and q.claimed_at > forgotten_candidates.since
            then 'A worker has it at this moment: stop every runner first'
        when q.in_doubt_since is null and not exists (
            select 1 from public.customers c where c.id = q.customer_id and coalesce(btrim(c.phone), '') <> '')
            then 'Nobody can have texted a customer without a number'
        when exists (select 1 from public.send_logs l where l.id = q.send_log_id
                     and smsretry.is_sent(l.provider_message_id, l.status::text)) then 'Its send log says that it was sent'
    end) as k (skip)
    -- No condition on status: without statistics the planner would walk a partial index for each.
    where q.begun_at is null and q.created_at < forgotten_candidates.restored_at
      and (q.in_doubt_since is null or q.in_doubt_since < forgotten_candidates.since)
    order by k.skip is not null, q.status = 'pending', q.in_doubt_since is null, q.scheduled_for, q.id
    limit forgotten_candidates.row_limit
    for update of q;
end
$$;
