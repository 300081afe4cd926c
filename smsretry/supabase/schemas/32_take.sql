-- Claim these rows, and return them with all that decides about them. The caller has found them pending and locked them.
-- Their status is not asked for again: without statistics the planner would walk a partial index for it. A row in doubt
-- keeps the attempt that it is in doubt about. by_application: the claimer does not begin its sends.
create or replace function smsretry.take(ids uuid[], at timestamptz, by_application boolean default false)
returns setof smsretry.claimed_retry
language plpgsql set search_path = pg_catalog, pg_temp
-- A plan that does not know how few they are would read whole tables to join them.
set enable_hashjoin = off set enable_mergejoin = off set jit = off as $$
#variable_conflict use_column
begin
    update public.sms_retry_queue q
    set status = 'processing', claim_no = q.claim_no + 1, claimed_at = take.at, begun_at = null,
        claimed_by_application = take.by_application,
        attempt_id = case when q.in_doubt_since is not null then q.attempt_id end, updated_at = take.at
    where q.id = any (take.ids);

    return query
    select r.* from smsretry.claimed_retry r where r.id = any (take.ids) order by r.scheduled_for, r.id;
end
$$;

revoke all on function smsretry.take from public, anon, authenticated;
grant execute on function smsretry.take to service_role;
