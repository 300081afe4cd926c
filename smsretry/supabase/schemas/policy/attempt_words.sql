-- The words of sms_send_attempts. Domains, because PostgreSQL parses a domain's check once a session,
-- and that of a table in each statement that writes to it.
do $$
begin
    if to_regtype('smsretry.outcome') is null then
        create domain smsretry.outcome as text
            constraint known check (value in ('accepted', 'rejected', 'not_sent', 'in_doubt'));
        create domain smsretry.settled_by as text
            constraint known check (
                value in ('response', 'callback', 'reconcile', 'operator', 'application')
            );
        -- Twilio's own words, and unknown: it reported nothing final for long enough.
        create domain smsretry.delivery_status as text
            constraint known check (
                value in (
                    'accepted',
                    'scheduled',
                    'queued',
                    'sending',
                    'sent',
                    'unknown',
                    'undelivered',
                    'failed',
                    'canceled',
                    'partially_delivered',
                    'delivered',
                    'read'
                )
            );
    end if;
end
$$;
