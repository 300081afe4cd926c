-- Another number for one that must not be shown. What a preview decides by it is the same: it is from the same place, equal
-- numbers of a business stay equal, a malformed one stays malformed, and one that is not written as E.164 is not either. Its
-- last seven digits are not the number's.
create or replace function smsretry.like_number(business_id uuid, phone text)
returns text language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
    v_plain constant text := regexp_replace(like_number.phone, '[^+0-9]', '', 'g');
    v_kept constant integer := greatest(length(v_plain) - 7, 4);
    v_hash bigint;
begin
    if coalesce(like_number.phone, '') = '' then
        return like_number.phone;
    end if;
    if v_plain !~ '^[+][1-9][0-9]{6,14}$' then
        return '…';
    end if;
    if v_plain ~ '^[+]1[0-9]{10}$' and v_plain !~ '^[+]1[2-9][0-9]{2}[2-9]' then
        return '+10000000000';
    end if;
    v_hash := ('x' || left(encode(smsretry.number_key(like_number.business_id, like_number.phone), 'hex'), 12))::bit(48)::bigint;
    -- An exchange of +1 begins with 2 to 9.
    return left(v_plain, v_kept) || right((2000000 + v_hash % 8000000)::text, length(v_plain) - v_kept)
        || case when v_plain <> like_number.phone then ' ' else '' end;
end
$$;
