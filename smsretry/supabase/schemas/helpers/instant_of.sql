-- An instant as JSON has it (RFC 3339), with its offset; null: it is none, or lies outside of smsretry.century.
create or replace function smsretry.instant_of(written text)
returns timestamptz language plpgsql immutable set search_path = pg_catalog, pg_temp as $$
begin
    if instant_of.written !~ '^\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d{1,9})?)?(Z|[+-]\d\d:\d\d)$' then
        return null;
    end if;
    return (select w.at from (select instant_of.written::timestamptz as at) w where w.at <@ smsretry.century());
exception when data_exception then
    return null;
end
$$;
