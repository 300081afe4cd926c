-- A text's state in a word for people; the one definition.
--   due | waiting (for its hour or next try) | held (a person can mend it) | under_way | in_doubt | sent | failed | cancelled
create or replace function smsretry.text_state(retry public.sms_retry_queue, at timestamptz)
returns text language sql immutable set search_path = pg_catalog, pg_temp as $$
    select case
        when retry.status = 'completed' then 'sent'
        when retry.status in ('failed', 'cancelled') then retry.status
        when retry.in_doubt_since is not null then 'in_doubt'
        when retry.status = 'processing' then 'under_way'
        when retry.held_since is not null then 'held'
        when retry.scheduled_for <= text_state.at then 'due'
        else 'waiting'
    end
$$;
