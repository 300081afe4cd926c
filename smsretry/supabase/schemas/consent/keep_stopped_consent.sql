-- A customer's consent has changed: what it was before a STOP, or the provider's refusal, is kept for a later START; whatever else
-- has changed it, there is nothing to give back. For the trigger on customers alone.
create or replace function smsretry.keep_stopped_consent(customer_id uuid, number_key bytea, consent text, stopped boolean)
returns void language plpgsql set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
begin
    if keep_stopped_consent.stopped then
        insert into smsretry.stopped_consents (customer_id, number_key, consent)
        values (keep_stopped_consent.customer_id, keep_stopped_consent.number_key, keep_stopped_consent.consent)
        on conflict (customer_id) do update set number_key = excluded.number_key, consent = excluded.consent;
    else
        delete from smsretry.stopped_consents t where t.customer_id = keep_stopped_consent.customer_id;
    end if;
end
$$;
