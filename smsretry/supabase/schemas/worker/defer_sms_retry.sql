-- Put a claimed row back to pending for a reason that is no failure; costs no attempt. False: the claim was lost.
-- window_closes_at: when the window closes that it waits for; null if that is not known.
-- expires_at: when the text is of no more use, if it might have gone out and nothing has said so before; without it, life:
-- how long it is of use from now on.
-- May be repeated.
create or replace function public.defer_sms_retry(
    retry_id uuid, claim_no bigint, until timestamptz, reason text default null, why text default null,
    life interval default null, window_closes_at timestamptz default null, expires_at timestamptz default null,
    why_code text default null
)
returns boolean language plpgsql security invoker set search_path = pg_catalog, pg_temp
set lock_timeout = '2s' as $$ -- as begin_sms_attempt
#variable_conflict use_column
declare
    v_row public.sms_retry_queue;
begin
    perform smsretry.wait_shortly();
    if defer_sms_retry.until is null then
        raise exception 'until is missing: a deferred row needs a time' using errcode = 'SR422';
    end if;
    v_row := smsretry.held(defer_sms_retry.retry_id, defer_sms_retry.claim_no);
    if v_row.id is not null and v_row.begun_at is null then
        v_row.reason := coalesce(defer_sms_retry.reason, v_row.reason);
        v_row.why := defer_sms_retry.why;
        v_row.why_code := defer_sms_retry.why_code;
        v_row.held_since := null;
        v_row.window_closes_at := coalesce(defer_sms_retry.window_closes_at, v_row.window_closes_at);
        v_row.expires_at := coalesce(
            v_row.expires_at, defer_sms_retry.expires_at, smsretry.clock() + defer_sms_retry.life);
        perform smsretry.put_back(v_row, defer_sms_retry.until, smsretry.clock());
        return true;
    end if;
    return exists ( -- the answer to the same call was lost on its way
        select 1 from public.sms_retry_queue q
        where q.id = defer_sms_retry.retry_id and q.status = 'pending'
          and q.claim_no = defer_sms_retry.claim_no and q.scheduled_for = defer_sms_retry.until);
end
$$;

revoke all on function public.defer_sms_retry from public, anon, authenticated;
grant execute on function public.defer_sms_retry to service_role;
