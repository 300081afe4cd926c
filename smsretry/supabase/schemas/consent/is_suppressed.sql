-- Whether an opt-out of a number is kept already: by one that is no earlier, and that a START takes back no sooner.
create or replace function smsretry.is_suppressed(number_key bytea, since timestamptz, source text)
returns boolean language plpgsql stable set search_path = pg_catalog, pg_temp as $$
begin
    return exists (
        select 1
        from (select s.since, s.source from smsretry.suppressions s where s.number_key = is_suppressed.number_key
              union all
              select u.since, u.source from smsretry.unwritten_consents u
              where u.number_key = is_suppressed.number_key and u.consent = 'opted_out') o
        where o.since >= is_suppressed.since
          and (smsretry.start_takes_back(is_suppressed.source) or not smsretry.start_takes_back(o.source)));
end
$$;
