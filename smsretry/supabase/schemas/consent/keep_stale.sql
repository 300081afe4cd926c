-- Record that an opt-in of this date lifts nothing: smsretry.stale_opt_ins.
create or replace function smsretry.keep_stale(number_key bytea, at timestamptz)
returns void language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    insert into smsretry.stale_opt_ins (number_key, at)
    select keep_stale.number_key, date_trunc('second', keep_stale.at)
    where not exists (
        select 1 from smsretry.stale_opt_ins o
        where o.number_key = keep_stale.number_key and o.at = date_trunc('second', keep_stale.at));
end
$$;
