-- A customer's consent changed. If a STOP or the provider's refusal changed it, keep what it was for a later START;
-- otherwise there is nothing to give back.
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
