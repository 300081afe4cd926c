-- Whether an opt-out of this source is one that a START takes back: a STOP, or the provider's refusal (smsretry.start_lifts), or what
-- somebody wrote that may mean stop. What was said otherwise (by telephone, by letter, in the application, nobody knows where)
-- stands until a later opt-in.
-- by_yes: the START was a YES. It takes back what the provider blocks, because the provider lets it. It may answer another question, and
-- takes nothing back from who said stop in words.
create or replace function smsretry.start_takes_back(source text, by_yes boolean default false)
returns boolean language sql immutable set search_path = pg_catalog, pg_temp as $$
    select smsretry.start_lifts(start_takes_back.source)
        or coalesce(start_takes_back.source = 'inbound_words' and not start_takes_back.by_yes, false)
$$;
