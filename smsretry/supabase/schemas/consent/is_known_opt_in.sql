-- Say whether a row with this number has had this date of an opt-in before, so that it is no news
-- now. Applications cut off or round to milliseconds or seconds.
--   in_vain: only where the date lifted nothing
create or replace function smsretry.is_known_opt_in(
    subject_key bytea,
    dated timestamptz,
    in_vain boolean default false
)
returns boolean
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
begin
    return exists (
        select from smsretry.consents i
        where i.subject_key = is_known_opt_in.subject_key
          and i.said in ('opted_in', 'seen')
          and (i.said = 'seen' or not is_known_opt_in.in_vain)
          and date_trunc('second', i.dated) in (
              date_trunc('second', is_known_opt_in.dated),
              date_trunc('second', is_known_opt_in.dated) - interval '1 second'
          )
    );
end
$$;
