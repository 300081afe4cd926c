-- A number as the provider's webhook names it, in E.164. A form that was decoded wrongly has a space for the plus sign, and
-- RCS names its channel. Anything else stays as it is.
create or replace function smsretry.phone_of(named text)
returns text language sql immutable set search_path = pg_catalog, pg_temp as $$
    select regexp_replace(phone_of.named, '^ *(?:(?:rcs|sms):)? *[+]?([1-9][0-9]{9,14}) *$', '+\1')
$$;
