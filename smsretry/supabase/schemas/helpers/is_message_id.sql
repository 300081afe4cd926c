-- Say whether this may be a provider's id of a message, and is no phone number.
create or replace function smsretry.is_message_id(id text)
returns boolean
language sql immutable set search_path = pg_catalog, pg_temp as $$
    select coalesce(
        id ~ '^[A-Za-z0-9_.-]{8,64}$'
        and id ~ '[A-Za-z]',
        false
    )
$$;
