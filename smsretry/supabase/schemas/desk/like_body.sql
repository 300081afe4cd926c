-- Another body for one that must not be shown: as long, and with as many segments (smsretry/retry/segments.py).
create or replace function smsretry.like_body(body text)
returns text language plpgsql immutable set search_path = pg_catalog, pg_temp as $$
declare
    -- The alphabet of GSM 03.38 and its extension table. What has any other character is sent as UCS-2.
    k_gsm constant text := '[^ -_a-~' || E'\n\r\f' || '£¥èéùìòÇØøÅåΔΦΓΛΩΠΨΣΘΞÆæßÉ¤¡ÄÖÑÜ§¿äöñüà€]';
    k_two constant text := case when like_body.body ~ k_gsm then '[^' || chr(65536) || '-' || chr(1114111) || ']' else '[^^{}\\[~\]|€' || E'\f]' end;
    v_two constant integer := length(regexp_replace(like_body.body, k_two, '', 'g'));
begin
    if btrim(like_body.body, E' \t\n\r\f') = '' then
        return like_body.body;
    end if;
    return case when like_body.body ~ k_gsm then repeat('ы', length(like_body.body) - v_two) || repeat(chr(128512), v_two)
                else repeat('x', length(like_body.body) - v_two) || repeat('^', v_two) end;
end
$$;
