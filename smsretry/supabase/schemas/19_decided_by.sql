-- What a decision to send was made from, as a fingerprint: number, zones and the business's hours. If it has changed when
-- the send begins, the decision was about somebody else or somewhere else.
create or replace function smsretry.decided_by(customer public.customers, business public.businesses)
returns text language sql immutable set search_path = pg_catalog, pg_temp as $$
    select md5(concat_ws('|', coalesce(customer.phone, ''), coalesce(customer.timezone, ''),
                         coalesce(business.timezone, ''), coalesce(business.sms_hours, '')))
$$;

revoke all on function smsretry.decided_by from public, anon, authenticated;
grant execute on function smsretry.decided_by to service_role;
