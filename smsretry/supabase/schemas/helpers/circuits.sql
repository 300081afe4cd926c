-- The open circuits. own: of a sender of the businesses'; otherwise of the environment's, or of everybody (sender '').
create or replace function smsretry.circuits()
returns table (sender text, own boolean, opened_at timestamptz, why text)
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
begin
    return query
    select c.sender, not smsretry.is_environments(c.sender), c.opened_at, c.why
    from smsretry.circuit c order by c.sender;
end
$$;
