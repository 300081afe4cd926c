-- Hash a number at a business with the key (RFC 2104's nesting). Raises P0002 without a key,
-- because no opt-out would be known or kept.
--   key: that of smsretry.secret, if the caller has read it
create or replace function smsretry.number_key(
    business_id uuid,
    phone text,
    key bytea default null
)
returns bytea
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
begin
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
                            || phone,
                        'UTF8'
                    )
            )
    );
end
$$;
