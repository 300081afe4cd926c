-- Whether an opt-out of this source is a STOP, or the provider's refusal, which reports a STOP where no webhook hears it.
create or replace function smsretry.start_lifts(source text)
returns boolean language sql immutable set search_path = pg_catalog, pg_temp as $$
    select coalesce(start_lifts.source, '') ~ '^(inbound_stop|provider_refusal|twilio_[0-9]+)$'
$$;
