-- Hash a number, or the id of a customer, at a business with the key (RFC 2104's nesting). A number
-- that is spelled otherwise is that number, as far as that can be told without a library; what has no
-- digit ('', 'n/a') is nobody's: null. Raises P0002 without a key, because no opt-out would be known
-- or kept.
--   key: that of smsretry.secret, if the caller has read it
create or replace function smsretry.number_key(
    business_id uuid,
    who text,
    key bytea default null
)
returns bytea
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
    v_digits text;
begin
    if who !~ '^[+][0-9]*$' and who !~ '[A-Za-z]' then
        v_digits := regexp_replace(who, '[^0-9]', '', 'g');
        if v_digits ~ '^1?[2-9][0-9]{9}$' then
            who := '+1' || right(v_digits, 10);
        elsif left(ltrim(who), 1) = '+' then
            who := '+' || v_digits;
        end if;
    end if;
    if key is null then
        select s.key into key from smsretry.secret s;
    end if;
    if key is null then
        raise exception 'smsretry.secret is empty: without its key no opt-out is known, and none can be kept'
            using errcode = 'P0002',
                  hint = 'Restore its row from a backup. `smsretry migrate --again` makes another key, and forgets who opted out.';
    end if;
    return sha256(
        key
            || sha256(
                key
                    || convert_to(
                        coalesce(business_id::text, '') || ' '
                            || substring(who from '(?s)^.*\d.*$'),
                        'UTF8'
                    )
            )
    );
end
$$;
