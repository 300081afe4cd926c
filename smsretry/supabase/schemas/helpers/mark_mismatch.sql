-- Why a worker and the mark of the database disagree about whom to text, and what to do; null: they agree, or there is no mark.
-- send_to: whom the worker texts (all, listed, nobody; null: all).
-- address: at which it reaches the database. plpgsql keeps its plan.
create or replace function smsretry.mark_mismatch(send_to text, address text)
returns text language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
    v_mark smsretry.mark;
    v_restricted constant boolean := coalesce(mark_mismatch.send_to <> 'all', false);
    v_home boolean;
begin
    select * into v_mark from smsretry.mark;
    v_home := v_mark.kind = 'production' and v_mark.address is not distinct from mark_mismatch.address;
    return case
        when v_mark.kind is null or v_home is distinct from v_restricted then null
        when v_home then 'The database is marked as production, and the worker texts '
            || case mark_mismatch.send_to when 'nobody' then 'nobody' else 'only who is listed' end
            || ': unset SMSRETRY_SEND_TO where it runs; or, if this is no production, `smsretry mark staging`'
        when v_mark.kind = 'staging' then 'The database is marked as staging, and the worker texts everybody: set SMSRETRY_SEND_TO'
            || ' to nobody or listed where it runs; or, if this is production, `smsretry mark production`'
        else 'The database is marked as production at ' || v_mark.address || ', and the worker reaches it at '
            || coalesce(left(mark_mismatch.address, 300), 'an address that it does not tell')
            || '. A copy texts nobody: set SMSRETRY_SEND_TO to nobody or listed where the worker runs. If this is production: '
            || 'give all its workers one SUPABASE_URL, and run `smsretry mark production` with the same'
    end;
end
$$;
