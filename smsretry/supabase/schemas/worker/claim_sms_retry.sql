-- Claim one pending row by its id, due or not, for the caller who has just queued it. Returns what
-- claim_sms_texts does; without a text the row is not pending, or is in doubt. Raises if it cannot
-- be claimed.
create or replace function public.claim_sms_retry(
    retry_id uuid,
    account text default null,
    sender text default null
)
returns jsonb
language plpgsql set search_path = pg_catalog, pg_temp
as $$
declare
    v_now constant timestamptz := smsretry.clock();
    v_rows constant tid[] := array(
        select q.ctid
        from public.sms_retry_queue q
        where q.id = claim_sms_retry.retry_id
          -- is true: by its id alone; with old statistics an index of all that waits is walked
          and (
              q.status = 'pending' and q.in_doubt_since is null
          ) is true
        for update
    );
    v_taken uuid[];
begin
    -- A statement of its own: what follows reads the rows as they are then.
    v_taken := (select t.taken from smsretry.claim_rows(v_rows, v_now, alone => true) t);
    return smsretry.claim_of(v_taken, account, sender, v_now);
end
$$;
