-- Say whether the provider called a message lost. It may still be delivered.
create or replace function smsretry.is_lost(delivery_status text)
returns boolean
language sql immutable set search_path = pg_catalog, pg_temp as $$
    select coalesce(
        delivery_status in ('undelivered', 'failed', 'canceled'),
        false
    )
$$;

-- Say in a word whether an accepted text arrived: delivered, undelivered, unknown (nothing final was
-- ever reported) or open (nothing final has been reported yet).
create or replace function smsretry.delivery_of(delivery_status text)
returns text
language sql immutable set search_path = pg_catalog, pg_temp as $$
    select case
        when delivery_status in ('partially_delivered', 'delivered', 'read')
            then 'delivered'
        when delivery_status = 'unknown' then 'unknown'
        when smsretry.is_lost(delivery_status) then 'undelivered'
        else 'open'
    end
$$;
