-- Claim one row, which the caller has found pending and locked; false: it was ended or put in doubt instead. Its status is not
-- asked for again: without statistics the planner would walk a partial index. A row in doubt keeps its attempt. by_application:
-- the claimer sends without a begin, so a text that a begin would call sent or put in doubt comes to that here.
create or replace function smsretry.take_row(id uuid, at timestamptz, by_application boolean)
returns boolean language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    v_row public.sms_retry_queue;
    v_refused record;
begin
    if take_row.by_application then
        select * into v_row from public.sms_retry_queue q where q.id = take_row.id;
        select r.* into v_refused
        from public.send_logs l, smsretry.refusal(true, null, null) r
        where l.id = v_row.send_log_id and l.business_id is not distinct from v_row.business_id
          and smsretry.is_sent(l.provider_message_id, l.status::text);
        if found then
            perform smsretry.close_row(v_row, 'cancelled', v_refused.why, v_refused.why_code, null, take_row.at);
            return false;
        end if;
        if exists (select 1 from smsretry.restores) and smsretry.put_in_doubt(v_row, take_row.at) is not null then
            return false;
        end if;
    end if;
    update public.sms_retry_queue q
    -- Above what a worker from before a restore holds: more than a text was ever claimed.
    set status = 'processing', claim_no = greatest(q.claim_no, 1000000 * (select count(*) from smsretry.restores)) + 1,
        claimed_at = take_row.at, begun_at = null,
        claimed_by_application = take_row.by_application,
        attempt_id = case when q.in_doubt_since is not null then q.attempt_id end, updated_at = take_row.at
    where q.id = take_row.id;
    return true;
end
$$;
