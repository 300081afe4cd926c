-- For `smsretry doctor`: whether a worker with these settings and the database's mark agree (mismatch null; else why not), what
-- the mark is, and which of the businesses that the worker texts do not exist. send_to, address: smsretry.mark_mismatch.
create or replace function public.check_sms_mark(send_to text, address text, business_ids uuid[] default '{}')
returns table (mark text, marked_address text, mismatch text, unknown uuid[])
language plpgsql stable security invoker set search_path = pg_catalog, pg_temp as $$
begin
    return query
    select m.kind, m.address, smsretry.mark_mismatch(check_sms_mark.send_to, check_sms_mark.address),
           array(select b.id from unnest(check_sms_mark.business_ids) b (id)
                 where not exists (select from public.businesses k where k.id = b.id) order by b.id)
    from (select 1) one left join smsretry.mark m on true;
end
$$;
