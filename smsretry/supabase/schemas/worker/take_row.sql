-- Claim one row, which the caller has found pending and locked; false: it was put in doubt instead. Its status is not asked
-- for again: without statistics the planner would walk a partial index. A row in doubt keeps its attempt. by_application:
-- the claimer sends without a begin, so what a begin would put in doubt is put in doubt here.
create or replace function smsretry.take_row(id uuid, at timestamptz, by_application boolean)
returns boolean language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    v_row public.sms_retry_queue;
begin
    if take_row.by_application and exists (select 1 from smsretry.restores) then
        select * into v_row from public.sms_retry_queue q where q.id = take_row.id;
        if smsretry.put_in_doubt(v_row, take_row.at) is not null then
            return false;
        end if;
    end if;
    update public.sms_retry_queue q
    set status = 'processing', claim_no = q.claim_no + 1, claimed_at = take_row.at, begun_at = null,
        claimed_by_application = take_row.by_application,
        attempt_id = case when q.in_doubt_since is not null then q.attempt_id end, updated_at = take_row.at
    where q.id = take_row.id;
    return true;
end
$$;
