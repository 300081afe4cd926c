-- Release texts that wait because of a customer's place or a business's hours, which have changed.
-- security definer, because tenants write customers and businesses, and no rows of others'.
create or replace function smsretry.recheck_waiting()
returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
    perform smsretry.release_texts(
        smsretry.reasons_of('place'),
        case when tg_table_name = 'customers' then array[new.id] end,
        case when tg_table_name = 'businesses' then array[new.id] end
    );
    return null;
end
$$;
