-- Hold a text in doubt for a person, naming the first messages that may be it. Past its expiry, it fails with that. The
-- caller holds the row locked.
create or replace function smsretry.hold_in_doubt(
    retry public.sms_retry_queue, error text, sids text[], due timestamptz, at timestamptz
)
returns void language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    retry.why := left(hold_in_doubt.error, 1800) || coalesce(
        ': ' || array_to_string(sids[:3], ', ')
        || case when cardinality(sids) > 3 then ' and ' || cardinality(sids) - 3 || ' more' else '' end, '');
    if retry.expires_at <= hold_in_doubt.at then
        perform smsretry.close_row(retry, 'failed', retry.why, retry.why_code, null, hold_in_doubt.at);
    else
        retry.held_since := coalesce(retry.held_since, hold_in_doubt.at);
        perform smsretry.put_back(retry, hold_in_doubt.due, hold_in_doubt.at);
    end if;
end
$$;
