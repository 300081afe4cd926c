-- A number at a business, as a keyed hash (RFC 2104's nesting): it counts and suppresses without telling the number.
create or replace function smsretry.number_key(business_id uuid, phone text)
returns bytea language sql stable set search_path = pg_catalog, pg_temp as $$
    select sha256(s.key || sha256(s.key || convert_to(number_key.business_id::text || ' ' || number_key.phone, 'UTF8')))
    from smsretry.secret s
$$;

revoke all on function smsretry.number_key from public, anon, authenticated;
grant execute on function smsretry.number_key to service_role;
