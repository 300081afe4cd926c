-- The fence: the row, locked, if it is still held under this claim number; otherwise null. Every write that a worker makes
-- about its row begins here, so a worker that lost its claim changes nothing.
-- Callers assign the answer to a variable and do not select from it: a call that waits here while a migration adds a
-- column then goes on with the new row type, instead of failing on the old one.
create or replace function smsretry.held(retry_id uuid, claim_no bigint)
returns public.sms_retry_queue language plpgsql set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
declare
    v_row public.sms_retry_queue;
begin
    select q.* into v_row
    from public.sms_retry_queue q
    where q.id = held.retry_id and q.status = 'processing' and q.claim_no = held.claim_no
    for update;
    return v_row;
end
$$;

revoke all on function smsretry.held from public, anon, authenticated;
grant execute on function smsretry.held to service_role;
