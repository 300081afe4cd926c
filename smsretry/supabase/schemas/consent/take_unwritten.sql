-- Remove and return the opt-outs of a number that could not be written, up to a moment: the caller writes them now. Anything
-- else from that time is out of date.
create or replace function smsretry.take_unwritten(number_key bytea, until timestamptz)
returns table (since timestamptz, source text) language sql set search_path = pg_catalog, pg_temp as $$
    with taken as (
        delete from smsretry.unwritten_consents u
        where u.number_key = take_unwritten.number_key and u.since <= take_unwritten.until
        returning u.consent, u.since, u.source)
    select t.since, t.source from taken t where t.consent = 'opted_out'
$$;
