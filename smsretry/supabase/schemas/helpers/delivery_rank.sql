-- The order of the provider's reports, which arrive in any order. A delivery outranks a failure: a carrier may deliver a
-- message that it called lost. Null: an unknown status.
create or replace function smsretry.delivery_rank(status text)
returns integer language sql immutable set search_path = pg_catalog, pg_temp as $$
    select case
        when delivery_rank.status in ('accepted', 'scheduled') then 1
        when delivery_rank.status = 'queued' then 2
        when delivery_rank.status = 'sending' then 3
        when delivery_rank.status = 'sent' then 4
        when delivery_rank.status = 'unknown' then 5
        when delivery_rank.status in ('undelivered', 'failed', 'canceled') then 6
        when delivery_rank.status = 'delivered' then 7
        when delivery_rank.status = 'read' then 8
    end
$$;
