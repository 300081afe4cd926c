-- Release texts that wait because of a customer's place or a business's hours, where a statement has
-- changed these. security definer, because tenants write customers and businesses, and no rows of
-- others'.
create or replace function smsretry.recheck_waiting()
returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
    v_customers uuid[] := '{}';
    v_businesses uuid[] := '{}';
begin
    if tg_table_name = 'customers' then
        v_customers := array(
            select n.id
            from customers_before o
            join customers_after n on n.id = o.id
            where (o.phone, o.timezone) is distinct from (n.phone, n.timezone)
        );
    else
        v_businesses := array(
            select n.id
            from businesses_before o
            join businesses_after n on n.id = o.id
            where (o.timezone, o.sms_hours, o.sms_daily_cap)
                is distinct from (n.timezone, n.sms_hours, n.sms_daily_cap)
        );
    end if;
    if cardinality(v_customers || v_businesses) > 0 then
        perform smsretry.release_texts(
            smsretry.why_codes_of('place'),
            v_customers,
            v_businesses
        );
    end if;
    return null;
end
$$;
