-- Take up to limit_count due rows, business by business in turns, which go on where the last claim ended: smsretry.in_turn.
-- Within a business, transactional texts come first, then those whose window closes within the hour. limit_count is clamped to 500, because PostgREST truncates answers at 1000.
-- Rows in doubt are not taken: the caller sends what it gets. Nor are rows under suspicion: claim_suspect_sms_retry.
-- claimed_at in the answer is the database's clock. others_wait says that the claim was cut short: a business has a text due
-- and none in it, because limit_count was too low, it is set apart, or somebody else holds its rows locked.
-- begins: whether the caller begins each send with begin_sms_attempt. The application's own processor does not; a claim of
-- its is a send that may have been made, and comes into doubt when the processor dies.
create or replace function public.claim_due_sms_retries(limit_count integer default 50, begins boolean default false)
returns setof smsretry.claimed_retry
language plpgsql security invoker set search_path = pg_catalog, pg_temp
-- As on Supabase, and wherever else PostgREST runs: a claim whose caller has given it up would keep its rows.
set statement_timeout = '8s' as $$
#variable_conflict use_column
declare
    v_now constant timestamptz := smsretry.clock();
    v_limit constant integer := least(greatest(coalesce(limit_count, 50), 0), 500);
    v_turn record;
    v_candidates uuid[];
    v_taken record;
    v_claims smsretry.claimed_retry[];
    v_claim smsretry.claimed_retry;
    v_others_wait boolean;
begin
    select * into v_turn from smsretry.in_turn('texts', v_now, v_limit);
    if cardinality(v_turn.businesses) = 0 then
        return;
    end if;
    v_candidates := smsretry.texts_in_turn(v_turn.businesses, v_turn.each, v_now);
    if cardinality(v_candidates) < v_limit and v_turn.each < v_limit then -- a few of them have most of it
        v_candidates := smsretry.texts_in_turn(v_turn.businesses, v_limit, v_now);
    end if;
    select * into v_taken from smsretry.lock_in_turn(v_candidates, v_limit, false, v_now);
    perform smsretry.end_turn(
        'texts', v_turn.place, v_turn.businesses, v_turn.passed, v_taken.served, cardinality(v_taken.ids) = v_limit);
    v_claims := array(select t from smsretry.take(v_taken.ids, v_now, begins is not true) t);
    v_others_wait := v_turn.passed is not null or exists (
        select from unnest(v_turn.businesses) b where b not in (select c.business_id from unnest(v_claims) c));
    foreach v_claim in array v_claims loop
        v_claim.others_wait := v_others_wait;
        return next v_claim;
    end loop;
end
$$;

revoke all on function public.claim_due_sms_retries from public, anon, authenticated;
grant execute on function public.claim_due_sms_retries to service_role;
