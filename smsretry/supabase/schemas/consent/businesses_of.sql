-- List the businesses that have a customer with this number and are concerned (smsretry.concerns).
-- Others learn what was said when they get one (smsretry.keep_consent).
--   now: for a START: also businesses that may have had one
create or replace function smsretry.businesses_of(
    phone text,
    senders text[] default null,
    now boolean default false
)
returns uuid[]
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
begin
    return array(
        select b.id
        from (
            select c.business_id as id
            from public.customers c
            where c.phone = businesses_of.phone
            union
            select a.id
            from public.businesses a
            where businesses_of.now
            offset 0
        ) b
        where smsretry.concerns(
            b.id,
            smsretry.number_key(b.id, businesses_of.phone),
            businesses_of.senders,
            businesses_of.now
        )
        order by 1
    );
end
$$;
