-- Record a send that begins: what is sent, to whom, under which consent and rule. The rows say what is not given.
create or replace function smsretry.write_attempt(
    retry public.sms_retry_queue, id uuid, attempt_number integer, begun_at timestamptz, rule text default null,
    body text default null, sent_by text default null, run_id uuid default null,
    sent_account text default null, segments integer default null
)
returns void language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    insert into public.sms_send_attempts (
        id, retry_id, attempt_number, claim_no, begun_at, consent_status, consent_at, consent_source, quiet_hours_rule,
        number_key, sent_to, sent_body, sent_by, run_id, sent_account, segments, business_id)
    select write_attempt.id, retry.id, write_attempt.attempt_number, retry.claim_no, write_attempt.begun_at,
           left(c.sms_consent_status::text, 40), c.sms_consent_at, left(c.sms_consent_source::text, 200), write_attempt.rule,
           smsretry.number_key(retry.business_id, c.phone), left(c.phone, 40),
           coalesce(write_attempt.body, left(l.subject, smsretry.longest_body() + 1)), write_attempt.sent_by, write_attempt.run_id,
           write_attempt.sent_account, write_attempt.segments, retry.business_id
    from (select 1) one
    left join public.customers c on c.id = retry.customer_id
    left join public.send_logs l on l.id = retry.send_log_id;
end
$$;
