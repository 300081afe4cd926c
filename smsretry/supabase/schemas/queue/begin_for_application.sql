-- The application's own processor claimed this row and fell silent. It begins nothing, so its claim counts as a send that
-- was begun when it was claimed, to whom and with what the rows say now. Likewise where a backup forgot the send.
create or replace function smsretry.begin_for_application(retry public.sms_retry_queue)
returns public.sms_retry_queue language plpgsql set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
begin
    retry.attempt_id := gen_random_uuid();
    retry.begun_at := retry.claimed_at;
    insert into public.sms_send_attempts (
        id, retry_id, attempt_number, claim_no, begun_at, number_key, sent_to, sent_body,
        consent_status, consent_at, consent_source)
    select retry.attempt_id, retry.id, retry.attempt_count + 1, retry.claim_no, retry.claimed_at,
           smsretry.number_key(retry.business_id, c.phone), left(c.phone, 40), left(l.subject, smsretry.longest_body() + 1),
           left(c.sms_consent_status::text, 40), c.sms_consent_at, left(c.sms_consent_source::text, 200)
    from (select 1) one
    left join public.customers c on c.id = retry.customer_id
    left join public.send_logs l on l.id = retry.send_log_id;
    return retry;
end
$$;

revoke all on function smsretry.begin_for_application from public, anon, authenticated;
grant execute on function smsretry.begin_for_application to service_role;
