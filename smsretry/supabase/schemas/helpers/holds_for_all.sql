-- Whether a policy's expression, as the catalog prints it, is met by every row for whoever is signed in.
create or replace function smsretry.holds_for_all(expression text)
returns boolean language sql immutable set search_path = pg_catalog, pg_temp as $$
    select coalesce(regexp_replace(lower(holds_for_all.expression), '[()\s]', '', 'g')
        ~ '^(true|1=1|(select)?auth\.uid(asuid)?isnotnull|(select)?auth\.role(asrole)?=''authenticated''::text)$', false)
$$;
