-- Since when a number (smsretry.number_key) is opted out at its business; null: it is not.
create or replace function smsretry.suppressed_since(number_key bytea)
returns timestamptz language sql stable set search_path = pg_catalog, pg_temp as $$
    select max(o.since)
    from (select s.since from smsretry.suppressions s where s.number_key = suppressed_since.number_key
          union all
          select u.since from smsretry.unwritten_consents u
          where u.number_key = suppressed_since.number_key and u.consent = 'opted_out') o
$$;
