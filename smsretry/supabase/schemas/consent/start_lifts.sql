-- Whether an opt-out of this source is one that a START takes back: a STOP, or the provider's refusal, by which a STOP is learned of
-- where no webhook hears it. What was said otherwise (by telephone, by letter, in the application, nobody knows where)
-- stands until a later opt-in.
create or replace function smsretry.start_lifts(source text)
returns boolean language sql immutable set search_path = pg_catalog, pg_temp as $$
    select coalesce(start_lifts.source, '') ~ '^(inbound_stop|provider_refusal|twilio_[0-9]+)$'
$$;
