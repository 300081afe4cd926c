-- Put a claimed row back to pending for a reason that is no failure; it costs no attempt. False:
-- the claim was lost. May be repeated.
--   due_at, due_in: when it is due, or how long from now
--   held: it waits for something that a person can mend; why says what
--   expires_at, life: when the text is of no more use, or how long from now, if no earlier call has
--     said so
create or replace function public.defer_sms_retry(
    retry_id uuid,
    claim_no bigint,
    due_at timestamptz default null,
    reason text default null,
    why text default null,
    life interval default null,
    expires_at timestamptz default null,
    why_code text default null,
    due_in interval default null,
    held boolean default false
)
returns boolean
language plpgsql set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
    v_row public.sms_retry_queue;
    v_now timestamptz;
begin
    if num_nonnulls(due_at, due_in) <> 1
        or held and why is null
    then
        raise exception 'due_at or due_in must be given, and why if it is held: a deferred row needs a time'
            using errcode = 'SR422';
    end if;
    v_row := smsretry.fenced(retry_id, claim_no);
    v_now := smsretry.clock();
    if v_row.id is not null and v_row.begun_at is null then
        v_row.reason := coalesce(reason, v_row.reason);
        v_row.why := why;
        v_row.why_code := why_code;
        v_row.held_since := case
            when held then coalesce(v_row.held_since, v_now)
        end;
        v_row.expires_at := coalesce(v_row.expires_at, expires_at, v_now + life);
        perform smsretry.save_row(
            v_row,
            v_now,
            due => coalesce(due_at, v_now + due_in)
        );
        return true;
    end if;
    return exists (
        -- the answer to the same call was lost on its way
        select from public.sms_retry_queue q
        where q.id = retry_id
          and q.status = 'pending'
          and q.claim_no = defer_sms_retry.claim_no
          and case
              when held then q.held_since is not null
              else q.scheduled_for = coalesce(due_at, q.scheduled_for)
          end
    );
end
$$;
