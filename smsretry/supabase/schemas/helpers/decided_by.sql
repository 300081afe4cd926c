-- A fingerprint of what a decision to send was made from: number, zones, the business's hours, the words, their class and which
-- states are stopped (as smsretry.stopped_states tells them). If it differs when the send begins, decide again. Each value is cut as in the claim, because a tenant
-- may store megabytes.
create or replace function smsretry.decided_by(
    phone text, timezone text, business_timezone text, business_hours text, body text, message_class text, stopped_states text
)
returns text language plpgsql immutable set search_path = pg_catalog, pg_temp as $$
begin
    return md5(concat_ws('|', left(coalesce(decided_by.phone, ''), 40), left(coalesce(decided_by.timezone, ''), 100),
                         left(coalesce(decided_by.business_timezone, ''), 100),
                         left(coalesce(decided_by.business_hours, ''), 1000), decided_by.message_class,
                         decided_by.stopped_states,
                         left(coalesce(decided_by.body, ''), smsretry.longest_body() + 1)));
end
$$;
