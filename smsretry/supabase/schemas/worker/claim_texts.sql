-- The claims of due texts by workers, who begin each send: claim_sms_texts.
-- Rows of smsretry.claimed_retry, as JSON.
create or replace function smsretry.claim_texts(limit_count integer, sender text, per_second double precision, without text[])
returns setof jsonb
language plpgsql set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_variable
declare
    v_now constant timestamptz := smsretry.clock();
    v_limit integer := smsretry.rows_of_claim(limit_count);
    v_turn record;
    v_claims smsretry.claimed_retry[];
    v_claim smsretry.claimed_retry;
    v_claimed uuid[];
    v_others_wait boolean;
    v_wait jsonb := '{}';
    v_owner text;
begin
    if exists (select from smsretry.business_senders) then
        select * into v_turn from smsretry.claim_by_sender(v_limit, v_now, sender, per_second, without);
    else
        v_limit := least(v_limit, (select r.room from smsretry.sender_room(null, sender, per_second, without, v_now) r));
        select t.*, null::jsonb as last into v_turn from smsretry.claim_in_turn('texts', v_limit, v_now) t;
    end if;
    v_claims := array(select t from smsretry.take(v_turn.ids, v_now) t);
    v_claimed := array(select c.business_id from unnest(v_claims) c);
    v_others_wait := not v_turn.complete or not v_turn.businesses <@ v_claimed;
    foreach v_claim in array v_claims loop
        v_claim.others_wait := v_others_wait;
        v_claim.sender_others_wait := v_others_wait;
        if v_turn.last is not null and v_others_wait then
            v_owner := coalesce(v_claim.sender ->> 'id', '');
            if not v_wait ? v_owner then
                v_wait := v_wait || jsonb_build_object(v_owner, smsretry.others_of_sender(
                    nullif(v_owner, '')::uuid,
                    array(select c.business_id from unnest(v_claims) c where coalesce(c.sender ->> 'id', '') = v_owner), v_now));
            end if;
            v_claim.sender_others_wait := (v_wait ->> v_owner)::boolean;
        end if;
        return next to_jsonb(v_claim);
    end loop;
    if v_turn.last <> '{}' then
        perform smsretry.end_turns_of_senders(v_turn.last, sender);
    end if;
end
$$;
