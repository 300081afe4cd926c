-- Read a number as the provider's webhook has it. A form that was decoded wrongly has a space for the
-- plus sign, and RCS names its channel.
create or replace function smsretry.heard_number(address text)
returns text
language plpgsql immutable set search_path = pg_catalog, pg_temp as $$
begin
    return regexp_replace(
        address,
        '^ *(?:(?:rcs|sms):)? *[+]?([1-9][0-9]{9,14}) *$',
        '+\1'
    );
end
$$;
