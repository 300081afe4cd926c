-- Why a text may not go to its customer at any hour (why_code: for programs); null: it may. The one rule, for begin and for
-- predictions. sent: smsretry.is_sent · consent, number_key: the customer's. plpgsql keeps its plan.
create or replace function smsretry.refusal(
    sent boolean, consent text, number_key bytea, out why text, out why_code text
)
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
begin
    why := case
        when refusal.sent then 'Already sent'
        when refusal.consent = 'opted_out' then 'Customer opted out'
        when refusal.consent is distinct from 'opted_in'
            then 'Customer opted out (consent is ' || coalesce(left(refusal.consent, 40), 'missing') || ')'
        when exists (select from smsretry.standing_opt_outs o where o.number_key = refusal.number_key)
            then 'Customer opted out (the number did, at this business; a later opt-in lifts it)'
    end;
    why_code := case when why is null then null when refusal.sent then 'already_sent' else 'opted_out' end;
end
$$;
