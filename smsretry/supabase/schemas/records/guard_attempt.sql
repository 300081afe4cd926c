-- Keep the rules of an attempt, as smsretry.guard_row keeps those of a row.
create or replace function smsretry.guard_attempt()
returns trigger
language plpgsql set search_path = pg_catalog, pg_temp
as $$
declare
    v_broken text;
begin
    v_broken := case
        when (new.finished_at is null) <> (new.outcome is null)
            then 'finished' -- they are set together
        when (new.outcome = 'accepted') is not true and new.twilio_sid is not null
            or new.outcome = 'accepted' and new.twilio_sid is null and new.settled_by = 'response'
            -- Only an accepted message has a SID. A response without one accepts nothing; a send log
            -- that says sent needs none.
            then 'sid'
        when new.outcome <> 'in_doubt' and (new.sent_to is not null or new.sent_body is not null)
            then 'private' -- they are kept only while evidence may be compared with them
        when new.twilio_sid is null
            and (new.delivery_status is not null or new.delivery_ask_at is not null)
            or (new.delivery_status is null) <> (new.delivery_at is null)
            or new.delivery_code is not null
                and (new.delivery_status in ('undelivered', 'failed', 'canceled')) is not true
            -- Only a message with a SID is reported on, and only a failure has a code.
            then 'reported'
        when length(new.refused_for) > 100
            then 'refused_for'
    end;
    if v_broken is not null then
        raise exception 'A row of sms_send_attempts would break its rule sms_send_attempts_% (smsretry.guard_attempt)', v_broken
            using errcode = '23514',
                  constraint = 'sms_send_attempts_' || v_broken,
                  table = 'sms_send_attempts',
                  schema = 'public';
    end if;
    return new;
end
$$;
