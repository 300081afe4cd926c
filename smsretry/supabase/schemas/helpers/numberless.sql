-- Take phone numbers out of a person's words, which logs and Prefect show. A number has a plus sign
-- or nine digits in a row, or is written as in the US.
create or replace function smsretry.numberless(words text)
returns text
language sql immutable set search_path = pg_catalog, pg_temp as $$
    select regexp_replace(
        words,
        '\+[0-9][0-9 ().-]{6,}[0-9]|(?<![[:alnum:]-])[0-9]{9,}(?![[:alnum:]])|\(?[0-9]{3}[) .-]{1,2}[0-9]{3}[ .-][0-9]{4}',
        '…',
        'g'
    )
$$;
