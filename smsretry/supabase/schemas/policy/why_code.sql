-- The reason why a text waits or has ended, in a word for programs. smsretry/vocabulary.py has the
-- words, with what each means; `python -m tests.record_schema` writes them here. Rows that were
-- there keep a word that is gone.
do $$
begin
    if to_regtype('smsretry.why_code') is null then
        create domain smsretry.why_code as text;
    end if;
end
$$;
alter domain smsretry.why_code drop constraint if exists known;
alter domain smsretry.why_code add constraint known check (value in (
    'quiet_hours', 'daily_cap', 'number_spelling', 'no_time_zone', 'no_opening', 'hours_unreadable',
    'sender_paused', 'no_credentials', 'account_refused', 'sending_stopped', 'sender_rate', 'day_spent',
    'business_trouble', 'unreachable', 'locked', 'database_trouble', 'data_changed', 'words_unread',
    'consent_unclear', 'state_stopped', 'business_stopped', 'mark_mismatch', 'destination_refused', 'in_doubt',
    'worker_died', 'restored', 'no_evidence', 'list_unavailable', 'ambiguous', 'at_capacity', 'already_queued',
    'claim_lost', 'rate_limited', 'refused_for_now', 'refused', 'attempts_used_up', 'undelivered',
    'delivery_open', 'opted_out', 'not_consented', 'already_sent', 'expired', 'not_listed', 'operator',
    'application', 'superseded', 'no_send_log', 'not_sms', 'no_customer', 'no_phone', 'number_invalid', 'no_body',
    'body_too_long', 'bad_row', 'id_taken', 'row_refused', 'unforeseen')) not valid;
