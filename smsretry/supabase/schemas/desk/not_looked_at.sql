-- Why smsretry.look_at_text leaves a row alone; null: it waits for something that a person can mend, and may be looked at now.
-- What waits for a next try, a cap, a rate, a carrier's answer or evidence waits for its time. The caller holds the row locked.
create or replace function smsretry.not_looked_at(retry public.sms_retry_queue, at timestamptz)
returns text language plpgsql stable set search_path = pg_catalog, pg_temp as $$
begin
    return case
        when retry.status = 'completed' then 'It is sent already'
        when retry.status in ('failed', 'cancelled') then 'It has ended, it is ' || retry.status || ': requeue it'
        when retry.status = 'processing' then 'A worker has it at this moment'
        when retry.scheduled_for <= not_looked_at.at then 'It is due already: the next run takes it'
        when retry.held_since is not null then null
        when retry.in_doubt_since is not null then 'It is in doubt: evidence is looked for at its own times'
        -- Each look asks anew what somebody may have mended: hours and zones, too. What waits for less would change nothing.
        when retry.why_code in (
            'sender_paused', 'no_credentials', 'account_refused', 'sending_stopped', 'business_trouble', 'unreachable',
            'customer_locked', 'database_trouble', 'data_changed', 'quiet_hours') then null
        when retry.reason = 'quiet_hours' then null
        else 'It waits for its time, and not for somebody: a look now would change nothing'
    end;
end
$$;
