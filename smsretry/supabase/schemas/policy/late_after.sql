-- Tell how late a text, or the end of a run, may be before a person must look.
create or replace function smsretry.late_after()
returns interval
language sql immutable set search_path = pg_catalog, pg_temp as $$
    select interval '10 minutes'
$$;
