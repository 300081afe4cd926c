-- A send that may have been made without a begin, by the application's own processor or before a restore: it counts as begun
-- when the row was claimed, with what the rows say now. Returns the attempt's id; null: nobody can have texted a customer without a
-- number. The caller holds the row locked.
create or replace function smsretry.presume_attempt(retry public.sms_retry_queue, at timestamptz)
returns uuid language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    v_id uuid;
begin
    insert into public.sms_send_attempts (
        id, retry_id, attempt_number, claim_no, begun_at, finished_at, outcome, worker_died, consent_status, consent_at, consent_source,
        number_key, sent_to, sent_body, business_id)
    select gen_random_uuid(), retry.id, retry.attempt_count + 1, retry.claim_no, retry.claimed_at, presume_attempt.at, 'in_doubt',
           retry.claimed_by_application, left(c.sms_consent_status::text, 40), c.sms_consent_at, left(c.sms_consent_source::text, 200),
           smsretry.number_key(retry.business_id, c.phone), left(c.phone, 40), left(l.subject, smsretry.longest_body() + 1),
           retry.business_id
    from (select) one
    left join public.customers c on c.id = retry.customer_id
    left join public.send_logs l on l.id = retry.send_log_id
    where c.id is null or btrim(c.phone) <> ''
    returning id into v_id;
    return v_id;
end
$$;
