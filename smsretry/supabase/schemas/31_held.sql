-- The fence: the row, locked, if it is still held under this claim number; otherwise no row. Every write that a worker
-- makes about its row begins here, so a worker that lost its claim changes nothing.
create or replace function smsretry.held(retry_id uuid, claim_no bigint)
returns setof public.sms_retry_queue rows 1
language sql set search_path = pg_catalog, pg_temp as $$
    select q.*
    from public.sms_retry_queue q
    where q.id = held.retry_id and q.status = 'processing' and q.claim_no = held.claim_no
    for update
$$;

revoke all on function smsretry.held from public, anon, authenticated;
grant execute on function smsretry.held to service_role;
