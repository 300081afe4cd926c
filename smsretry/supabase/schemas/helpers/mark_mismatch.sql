-- Say why a worker and the mark of the database disagree about whom to text, and what to do. Null:
-- they agree, or there is no mark. Only production's own workers, at the address of the mark, text
-- everybody. In plpgsql, which keeps its plan.
--   send_to: whom the worker texts (all, listed, nobody; null: all)
--   address: where the worker reaches the database
create or replace function smsretry.mark_mismatch(send_to text, address text)
returns text
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
    v_mark smsretry.mark;
begin
    select * into v_mark from smsretry.mark;
    if v_mark.kind is null
        or (
            v_mark.kind = 'production'
            and v_mark.address is not distinct from address
        ) = (coalesce(send_to, 'all') = 'all')
    then
        return null;
    end if;
    return 'The database is marked as ' || v_mark.kind
        || coalesce(' at ' || v_mark.address, '')
        || ', and the worker texts '
        || case send_to
            when 'nobody' then 'nobody'
            when 'listed' then 'only who is listed'
            else 'everybody'
        end || ' and reaches it at '
        || coalesce(
            left(address, 300),
            'an address that it does not tell'
        )
        || ': set SMSRETRY_SEND_TO and SUPABASE_URL where it runs, or say with `smsretry mark` what the database is';
end
$$;
