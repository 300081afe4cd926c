-- Name a text's state in a word for people. With smsretry.live_state and smsretry.planned_state
-- this is the one definition.
create or replace function smsretry.text_state(
    retry public.sms_retry_queue,
    at timestamptz
)
returns text
language sql immutable set search_path = pg_catalog, pg_temp as $$
    select case
        when retry.work is not null
            then smsretry.live_state(
                retry.work,
                retry.in_doubt_since,
                retry.held_since,
                retry.scheduled_for,
                at
            )
        when retry.status = 'completed' then 'sent'
        else retry.status -- failed or cancelled
    end
$$;
