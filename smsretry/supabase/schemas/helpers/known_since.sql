-- Since when the database knows a text, by its row, its send log or its scheduled send.
create or replace function smsretry.known_since(
    send_log_id uuid,
    created_at timestamptz
)
returns timestamptz
language sql stable set search_path = pg_catalog, pg_temp as $$
    select least(
        known_since.created_at,
        (select l.created_at from public.send_logs l where l.id = known_since.send_log_id),
        (select s.created_at from public.scheduled_sends s where s.id = known_since.send_log_id)
    )
$$;
