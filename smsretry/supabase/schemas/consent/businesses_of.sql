-- List the businesses that have a customer with this number and are concerned (smsretry.concerns).
-- Others ask what was said when they get one (smsretry.objections).
create or replace function smsretry.businesses_of(
    phone text,
    senders text[] default null,
    account text default null
)
returns uuid[]
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
begin
    return array(
        select b.id
        from (
            select distinct c.business_id as id
            from public.customers c
            where c.phone = businesses_of.phone
            offset 0
        ) b
        where smsretry.concerns(
            b.id,
            smsretry.number_key(b.id, businesses_of.phone),
            businesses_of.senders,
            businesses_of.account
        )
        order by 1
    );
end
$$;
