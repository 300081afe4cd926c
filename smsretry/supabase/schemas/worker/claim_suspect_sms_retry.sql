-- Claim one due suspect row alone, because it may kill its worker, or none. The one whose claims died least often goes
-- first; one that cannot be claimed is passed over.
create or replace function public.claim_suspect_sms_retry()
returns setof smsretry.claimed_retry
language plpgsql security invoker set search_path = pg_catalog, pg_temp
set statement_timeout = '8s' as $$ -- as claim_due_sms_retries
declare
    v_now constant timestamptz := smsretry.clock();
    v_until constant timestamptz := clock_timestamp() + interval '1 second';
    v_id uuid;
begin
    for v_id in
        select q.id from public.sms_retry_queue q
        where q.status = 'pending' and q.recover_count >= smsretry.suspect_after() and q.scheduled_for <= v_now
        order by q.recover_count, q.scheduled_for
        limit 50
        for update skip locked
    loop
        return query select * from smsretry.take(array[v_id], v_now);
        exit when found or clock_timestamp() > v_until;
    end loop;
end
$$;
