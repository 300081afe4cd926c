-- Put a claimed row back to pending because of something that a person can mend (why), to be looked at again in look_in.
-- Costs no attempt. False: the claim was lost. May be repeated. expires_at, life: as for defer_sms_retry.
create or replace function public.hold_sms_retry(
    retry_id uuid, claim_no bigint, why text, look_in interval, life interval default null,
    expires_at timestamptz default null, why_code text default null
)
returns boolean language plpgsql security invoker set search_path = pg_catalog, pg_temp
set lock_timeout = '2s' as $$ -- as begin_sms_attempt
#variable_conflict use_variable
declare
    v_row public.sms_retry_queue;
    v_now timestamptz;
begin
    perform smsretry.wait_shortly();
    if why is null or look_in is null then
        raise exception 'why and look_in must be given: a held row says what it waits for' using errcode = 'SR422';
    end if;
    v_row := smsretry.fenced(retry_id, claim_no);
    v_now := smsretry.clock();
    if v_row.id is not null and v_row.begun_at is null then
        v_row.why := why;
        v_row.why_code := why_code;
        v_row.held_since := coalesce(v_row.held_since, v_now);
        v_row.expires_at := coalesce(v_row.expires_at, expires_at, v_now + life);
        perform smsretry.save_row(v_row, v_now, due => v_now + look_in);
        return true;
    end if;
    return exists ( -- the answer to the same call was lost on its way
        select 1 from public.sms_retry_queue q
        where q.id = retry_id and q.status = 'pending' and q.claim_no = hold_sms_retry.claim_no and q.held_since is not null);
end
$$;
