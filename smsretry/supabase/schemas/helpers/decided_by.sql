-- What a decision to send was made from, as a fingerprint: number, zones and the business's hours. If it has changed when
-- the send begins, the decision was about somebody else or somewhere else. Of each no more than the claim tells: a zone of megabytes would
-- cost the other rows of the claim theirs.
create or replace function smsretry.decided_by(phone text, timezone text, business_timezone text, business_hours text)
returns text language plpgsql immutable set search_path = pg_catalog, pg_temp as $$
begin
    return md5(concat_ws('|', left(coalesce(decided_by.phone, ''), 40), left(coalesce(decided_by.timezone, ''), 100),
                         left(coalesce(decided_by.business_timezone, ''), 100),
                         left(coalesce(decided_by.business_hours, ''), 1000)));
end
$$;
