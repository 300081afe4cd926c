-- Lock a row and return it, if its worker still has it under this claim number; otherwise null.
-- This is the fence: every write of a worker begins here. A lock is waited for as long as a group
-- says (smsretry.wait: group_sms_calls), or two seconds: if a long transaction holds the customer
-- or the send log, this text waits, and not the worker. Callers assign the answer and do not select
-- from it: a call that waits here while a migration adds a column then goes on with the new row
-- type instead of failing.
create or replace function smsretry.fenced(retry_id uuid, claim_no bigint)
returns public.sms_retry_queue
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    v_row public.sms_retry_queue;
begin
    perform set_config(
        'lock_timeout',
        coalesce(nullif(current_setting('smsretry.wait', true), ''), '2s'),
        true
    );
    select q.*
    into v_row
    from public.sms_retry_queue q
    where q.id = fenced.retry_id
      and q.status = 'processing'
      and q.claim_no = fenced.claim_no
    for update;
    return v_row;
end
$$;
