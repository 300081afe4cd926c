-- Say whether a message belongs to another attempt, or to another send log, such as that of a text
-- which the application sent itself.
create or replace function smsretry.belongs_to_another(
    sid text,
    attempt_id uuid,
    send_log_id uuid
)
returns boolean
language sql stable set search_path = pg_catalog, pg_temp as $$
    select exists (
        select from public.sms_send_attempts a
        where a.twilio_sid = belongs_to_another.sid
          and a.id is distinct from belongs_to_another.attempt_id
    )
        or exists (
            select from public.send_logs l
            where l.provider_message_id ->> 'twilio_sid' = belongs_to_another.sid
              and l.id is distinct from belongs_to_another.send_log_id
        )
$$;
