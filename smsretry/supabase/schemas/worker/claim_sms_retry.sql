-- Claim one pending row by its id, due or not, for the caller who has just queued it. No row: it is not pending, or in
-- doubt. Raises if it cannot be claimed.
create or replace function public.claim_sms_retry(retry_id uuid)
returns setof smsretry.claimed_retry
language plpgsql security invoker set search_path = pg_catalog, pg_temp as $$
begin
    perform 1 from public.sms_retry_queue q
    where q.id = claim_sms_retry.retry_id
      -- is true: by its id alone; with old statistics an index of all that waits is walked
      and (q.status = 'pending' and q.in_doubt_since is null) is true
    for update;
    if found then
        perform smsretry.take_row(claim_sms_retry.retry_id, smsretry.clock(), false);
        return query select r.* from smsretry.claimed_retry r where r.id = claim_sms_retry.retry_id;
    end if;
end
$$;
