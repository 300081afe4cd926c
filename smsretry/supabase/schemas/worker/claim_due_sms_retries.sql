-- For the application's own processor: claim up to limit_count due rows (smsretry.rows_of_claim), business by business in turns
-- (smsretry.in_turn). Within a business, transactional texts come first, then those whose window closes within the hour.
-- Neither doubtful nor suspect rows. The processor begins nothing: if it dies, its claim counts as a send that may have been made.
-- others_wait: a business has a text due and none in this claim.
create or replace function public.claim_due_sms_retries(limit_count integer default null)
returns setof smsretry.claimed_retry
language plpgsql security invoker set search_path = pg_catalog, pg_temp
-- As on Supabase: a claim whose caller has given up would keep its rows.
set statement_timeout = '8s' as $$
declare
    v_now constant timestamptz := smsretry.clock();
    v_turn record;
    v_claims smsretry.claimed_retry[];
    v_claim smsretry.claimed_retry;
    v_others_wait boolean;
begin
    select * into v_turn
    from smsretry.claim_in_turn('texts', smsretry.rows_of_claim(limit_count), v_now);
    v_claims := array(select t from smsretry.take(v_turn.ids, v_now, true) t);
    v_others_wait := not v_turn.complete or exists (
        select from unnest(v_turn.businesses) b where b not in (select c.business_id from unnest(v_claims) c));
    foreach v_claim in array v_claims loop
        v_claim.others_wait := v_others_wait;
        v_claim.sender_others_wait := v_others_wait;
        return next v_claim;
    end loop;
end
$$;
