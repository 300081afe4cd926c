-- Take up to limit_count rows in doubt (smsretry.rows_of_claim) whose next look has come, to look for evidence of what became of
-- their attempt; business by business in turns, and each one's longest waiting first. Rows under suspicion are not taken:
-- claim_suspect_sms_retry.
create or replace function public.claim_doubtful_sms_retries(limit_count integer default null)
returns setof smsretry.claimed_retry
language plpgsql security invoker set search_path = pg_catalog, pg_temp
set statement_timeout = '8s' as $$ -- as claim_due_sms_retries
#variable_conflict use_column
declare
    v_now constant timestamptz := smsretry.clock();
    v_limit constant integer := smsretry.rows_of_claim(limit_count);
    v_turn record;
    v_candidates uuid[];
    v_taken record;
begin
    select * into v_turn from smsretry.in_turn('doubtful', v_now, v_limit);
    if cardinality(v_turn.businesses) = 0 then
        return;
    end if;
    v_candidates := smsretry.others_in_turn('doubtful', v_turn.businesses, v_turn.each, v_now);
    if cardinality(v_candidates) < v_limit and v_turn.each < v_limit then -- a few of them have most of it
        v_candidates := smsretry.others_in_turn('doubtful', v_turn.businesses, v_limit, v_now);
    end if;
    select * into v_taken from smsretry.lock_in_turn(v_candidates, v_limit, true, v_now);
    perform smsretry.end_turn(
        'doubtful', v_turn.place, v_turn.businesses, v_turn.passed, v_taken.served, cardinality(v_taken.ids) = v_limit);
    return query select * from smsretry.take(v_taken.ids, v_now);
end
$$;

revoke all on function public.claim_doubtful_sms_retries from public, anon, authenticated;
grant execute on function public.claim_doubtful_sms_retries to service_role;
