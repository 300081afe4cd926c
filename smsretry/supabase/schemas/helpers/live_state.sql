-- Name the state of a text that has not ended, from columns that one index has.
--   in_doubt: a send of it may have gone out
--   under_way: a worker has it
--   held: it waits for something that a person can mend
--   due: its time has come
--   waiting: it waits for its hour or its next try
create or replace function smsretry.live_state(
    work text,
    in_doubt_since timestamptz,
    held_since timestamptz,
    scheduled_for timestamptz,
    at timestamptz
)
returns text
language sql immutable set search_path = pg_catalog, pg_temp as $$
    select case
        when in_doubt_since is not null then 'in_doubt'
        when work = 'under_way' then 'under_way'
        when held_since is not null then 'held'
        when scheduled_for <= at then 'due'
        else 'waiting'
    end
$$;
