-- Take one due row whose claims have died more than once, before its send began or while it was in doubt, or none. It may
-- be what kills its worker, so it is claimed alone. The one that died least often goes first.
create or replace function public.claim_suspect_sms_retry()
returns setof smsretry.claimed_retry
language plpgsql security invoker set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
declare
    v_now constant timestamptz := smsretry.clock();
    v_id uuid;
begin
    select q.id into v_id from public.sms_retry_queue q
    where q.status = 'pending' and q.recover_count >= 2 and q.scheduled_for <= v_now
    order by q.recover_count, q.scheduled_for
    limit 1
    for update skip locked;
    if found then
        return query select * from smsretry.take(array[v_id], v_now);
    end if;
end
$$;

revoke all on function public.claim_suspect_sms_retry from public, anon, authenticated;
grant execute on function public.claim_suspect_sms_retry to service_role;
