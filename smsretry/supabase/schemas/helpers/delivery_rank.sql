-- Rank the provider's reports, which arrive in any order. Null: an unknown status. A delivery
-- outranks a failure, also one of a part: a carrier may deliver a message that it called lost.
create or replace function smsretry.delivery_rank(status text)
returns integer
language sql immutable set search_path = pg_catalog, pg_temp as $$
    select array_position(
        array[
            'accepted',
            'queued',
            'sending',
            'sent',
            'unknown',
            'undelivered',
            'partially_delivered',
            'delivered',
            'read'
        ],
        case
            when status in ('failed', 'canceled') then 'undelivered'
            when status = 'scheduled' then 'accepted'
            else status
        end
    )
$$;
