-- Write a regular expression for any word of a list.
--   words: parted by blanks. In a word, _ is a blank, and W up to three words; E, at its end, is
--     what ends a sentence: courtesies (C), a point or nothing
create or replace function smsretry.any_word(words text)
returns text
language sql immutable set search_path = pg_catalog, pg_temp as $$
    select '\m(' || replace(
        replace(
            translate(regexp_replace(words, '\s+', '|', 'g'), '_', ' '),
            'W',
            '( \w+){0,3}'
        ),
        'E',
        '( C)*( \.|$)'
    ) || ')\M'
$$;
