-- A number at a business, as a keyed hash (RFC 2104's nesting). Without the key it raises P0002: no
-- opt-out would be known or kept.
create or replace function smsretry.number_key(business_id uuid, phone text)
returns bytea
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
    v_key bytea;
begin
    select s.key into v_key from smsretry.secret s;
    if v_key is null then
        raise exception 'smsretry.secret is empty: without its key no opt-out is known, and none can be kept'
            using errcode = 'P0002',
                  hint = 'Restore its row from a backup. `smsretry migrate --again` makes another key, and forgets who opted out.';
    end if;
    return sha256(
        v_key
            || sha256(
                v_key
                    || convert_to(
                        coalesce(number_key.business_id::text, '') || ' '
                            || number_key.phone,
                        'UTF8'
                    )
            )
    );
end
$$;
