-- Whether a START takes back an opt-out of this source: smsretry.start_lifts, or words that may mean stop. Any other (by
-- telephone, by letter, in the application, unknown) lasts until a later opt-in.
-- by_yes: the START was a YES, which may answer another question. It takes back only what the provider blocks.
create or replace function smsretry.start_takes_back(source text, by_yes boolean default false)
returns boolean language sql immutable set search_path = pg_catalog, pg_temp as $$
    select smsretry.start_lifts(start_takes_back.source)
        or coalesce(start_takes_back.source = 'inbound_words' and not start_takes_back.by_yes, false)
$$;
