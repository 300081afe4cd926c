-- A regular expression for any word of a list, where a blank parts words and _ is a blank.
create or replace function smsretry.any_word(words text)
returns text
language sql immutable set search_path = pg_catalog, pg_temp as $$
    select '\m(' || translate(any_word.words, ' _', '| ') || ')\M'
$$;
