-- Put a claimed row back to pending for a reason that is no failure; costs no attempt. False: the claim was lost. Repeatable.
-- expires_at: when the text is of no more use, if it might have gone out and nothing has said so before; otherwise life: how
-- long it is of use from now on.
create or replace function public.defer_sms_retry(
    retry_id uuid, claim_no bigint, until timestamptz, reason text default null, why text default null,
    life interval default null, expires_at timestamptz default null, why_code text default null
)
returns boolean language plpgsql security invoker set search_path = pg_catalog, pg_temp
set lock_timeout = '2s' as $$ -- as begin_sms_attempt
#variable_conflict use_variable
declare
    v_row public.sms_retry_queue;
begin
    perform smsretry.wait_shortly();
    if until is null then
        raise exception 'until is missing: a deferred row needs a time' using errcode = 'SR422';
    end if;
    v_row := smsretry.fenced(retry_id, claim_no);
    if v_row.id is not null and v_row.begun_at is null then
        v_row.reason := coalesce(reason, v_row.reason);
        v_row.why := why;
        v_row.why_code := why_code;
        v_row.held_since := null;
        v_row.expires_at := coalesce(v_row.expires_at, expires_at, smsretry.clock() + life);
        perform smsretry.save_row(v_row, smsretry.clock(), due => until);
        return true;
    end if;
    return exists ( -- the answer to the same call was lost on its way
        select 1 from public.sms_retry_queue q
        where q.id = retry_id and q.status = 'pending' and q.claim_no = defer_sms_retry.claim_no and q.scheduled_for = until);
end
$$;
