-- Lock a number at a business, then in order of id its customers who have that number, and one customer by id, whose number
-- may have changed. The order keeps two opt-outs of the same people from deadlocking.
create or replace function smsretry.lock_customers(business_id uuid, phone text, customer_id uuid default null)
returns uuid[] language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    perform smsretry.lock_number(lock_customers.business_id, lock_customers.phone);
    return array(
        select c.id from public.customers c
        where (c.phone = lock_customers.phone or c.id = lock_customers.customer_id)
          -- is true: not also by the index of business_id, where a business may have very many
          and (c.business_id = lock_customers.business_id) is true
        order by c.id for no key update);
end
$$;
