-- Keep once what a number said while it cannot be written: smsretry.unwritten_consents.
create or replace function smsretry.keep_unwritten(
    number_key bytea, business_id uuid, consent text, since timestamptz, source text
)
returns void language sql set search_path = pg_catalog, pg_temp as $$
    insert into smsretry.unwritten_consents (number_key, business_id, consent, since, source)
    select keep_unwritten.number_key, keep_unwritten.business_id, keep_unwritten.consent, keep_unwritten.since,
           left(keep_unwritten.source, 200)
    where not exists (
        select 1 from smsretry.unwritten_consents u
        where u.number_key = keep_unwritten.number_key and u.consent = keep_unwritten.consent
          and u.since = keep_unwritten.since and (u.source is not distinct from left(keep_unwritten.source, 200)))
$$;
