-- Claim up to limit_count rows in doubt (smsretry.rows_of_claim) whose next look for evidence is due. Businesses take turns,
-- the longest waiting row of each first. Suspect rows are left to claim_suspect_sms_retry.
-- every_account: the caller looks in the account that an attempt names. Workers of version 1.0 do not say so, and get no row
-- whose message may have left from another than theirs.
create or replace function public.claim_doubtful_sms_retries(
    limit_count integer default null, every_account boolean default false
)
returns setof smsretry.claimed_retry
language plpgsql security invoker set search_path = pg_catalog, pg_temp
set statement_timeout = '8s' as $$ -- as claim_due_sms_retries
declare
    v_now constant timestamptz := smsretry.clock();
    v_ids uuid[] := (smsretry.claim_in_turn('doubtful', smsretry.rows_of_claim(limit_count), v_now)).ids;
begin
    if every_account is not true then
        v_ids := array(select i.id from unnest(v_ids) i (id) where not smsretry.left_elsewhere(i.id));
    end if;
    return query select * from smsretry.take(v_ids, v_now);
end
$$;
