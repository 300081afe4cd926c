-- End a claimed row whose send never began: failed (it cannot be sent) or cancelled (it is no
-- longer wanted). False: the claim was lost. May be repeated.
create or replace function public.end_sms_retry(
    retry_id uuid,
    claim_no bigint,
    final_status text,
    why text,
    error_code integer default null,
    why_code text default null
)
returns boolean
language plpgsql set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
    v_row public.sms_retry_queue;
begin
    if (final_status in ('failed', 'cancelled')) is not true
        or why is null
    then
        raise exception 'A row ends failed or cancelled, with a reason'
            using errcode = 'SR422';
    end if;
    v_row := smsretry.fenced(retry_id, claim_no);
    if v_row.id is not null and v_row.begun_at is null then
        perform smsretry.save_row(
            v_row,
            smsretry.clock(),
            ended => final_status,
            why => why,
            why_code => why_code,
            code => error_code
        );
        return true;
    end if;
    return exists (
        -- the answer to the same call was lost on its way
        select from public.sms_retry_queue q
        where q.id = retry_id
          and q.status = final_status
          and q.claim_no = end_sms_retry.claim_no
          and q.last_error = why
    );
end
$$;
