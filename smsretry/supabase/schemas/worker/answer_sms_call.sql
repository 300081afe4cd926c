-- Make one call of a worker's: function, and its parameters as JSON by name.
create or replace function smsretry.answer_sms_call(function text, v jsonb)
returns jsonb language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    case answer_sms_call.function
        when 'begin_sms_attempt' then
            return (select to_jsonb(b) from public.begin_sms_attempt(
                retry_id => (v ->> 'retry_id')::uuid, claim_no => (v ->> 'claim_no')::bigint,
                attempt_id => (v ->> 'attempt_id')::uuid, send_before => (v ->> 'send_before')::timestamptz,
                quiet_hours_rule => v ->> 'quiet_hours_rule', first_send => coalesce((v ->> 'first_send')::boolean, false),
                cap => (v ->> 'cap')::integer, cap_since => (v ->> 'cap_since')::timestamptz, phone => v ->> 'phone',
                body => v ->> 'body', sent_by => v ->> 'sent_by', decided_by => v ->> 'decided_by',
                life => (v ->> 'life')::interval, run_id => (v ->> 'run_id')::uuid,
                expires_at => (v ->> 'expires_at')::timestamptz, sender_id => (v ->> 'sender_id')::uuid,
                sent_account => v ->> 'sent_account', segments => (v ->> 'segments')::integer, lead => (v ->> 'lead')::double precision,
                send_to => v ->> 'send_to', listed => (v ->> 'listed')::boolean, address => v ->> 'address') b);
        when 'finish_sms_attempt' then
            return (select to_jsonb(f) from public.finish_sms_attempt(
                retry_id => (v ->> 'retry_id')::uuid, claim_no => (v ->> 'claim_no')::bigint,
                attempt_id => (v ->> 'attempt_id')::uuid, outcome => v ->> 'outcome', next_status => v ->> 'next_status',
                error => v ->> 'error', error_code => (v ->> 'error_code')::integer, twilio_sid => v ->> 'twilio_sid',
                retry_in => (v ->> 'retry_in')::interval, reason => v ->> 'reason',
                counted => coalesce((v ->> 'counted')::boolean, true), phone => v ->> 'phone',
                opted_out => coalesce((v ->> 'opted_out')::boolean, false), phone_status => v ->> 'phone_status',
                held => coalesce((v ->> 'held')::boolean, false), why_code => v ->> 'why_code') f);
        when 'defer_sms_retry' then
            return to_jsonb(public.defer_sms_retry(
                retry_id => (v ->> 'retry_id')::uuid, claim_no => (v ->> 'claim_no')::bigint,
                until => (v ->> 'until')::timestamptz, reason => v ->> 'reason', why => v ->> 'why',
                life => (v ->> 'life')::interval, expires_at => (v ->> 'expires_at')::timestamptz,
                why_code => v ->> 'why_code', look_in => (v ->> 'look_in')::interval,
                held => coalesce((v ->> 'held')::boolean, false)));
        when 'end_sms_retry' then
            return to_jsonb(public.end_sms_retry(
                retry_id => (v ->> 'retry_id')::uuid, claim_no => (v ->> 'claim_no')::bigint,
                final_status => v ->> 'final_status', error => v ->> 'error', error_code => (v ->> 'error_code')::integer,
                why_code => v ->> 'why_code'));
        else
            raise exception 'There is no call % in a group', answer_sms_call.function using errcode = 'SR422';
    end case;
end
$$;
