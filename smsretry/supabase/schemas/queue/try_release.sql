-- Make texts due now (smsretry.release_texts), 10,000 at most, where that must not fail what its
-- caller does: if a rule of the application's refuses it, or it takes too long, they wait for their
-- own time.
create or replace function smsretry.try_release(
    reasons text[],
    customers uuid[] default null,
    businesses uuid[] default null
)
returns integer
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    return smsretry.release_texts(reasons, customers, businesses, 10000);
exception
    when query_canceled or others then
        raise warning 'Texts wait for their own time, though what they wait for has changed: %',
            sqlstate;
        return 0;
end
$$;
