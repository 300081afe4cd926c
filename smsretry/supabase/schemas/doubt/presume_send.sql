-- Write the attempt of a send that nobody wrote down, although it may have been made: it is in doubt,
-- with what the rows say now, but for a number that has changed since. Returns its id; null: nobody
-- can have texted a customer without a number.
create or replace function smsretry.presume_send(
    retry public.sms_retry_queue,
    begun_at timestamptz,
    at timestamptz
)
returns uuid
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    v_id uuid;
begin
    insert into public.sms_send_attempts (
        id,
        retry_id,
        attempt_number,
        claim_no,
        begun_at,
        finished_at,
        outcome,
        worker_died,
        consent_status,
        consent_at,
        consent_source,
        number_key,
        sent_to,
        sent_body,
        business_id
    )
    select
        gen_random_uuid(),
        retry.id,
        retry.attempt_count + 1,
        retry.claim_no,
        presume_send.begun_at,
        presume_send.at,
        'in_doubt',
        retry.claimed_by_application,
        left(c.sms_consent_status::text, 40),
        c.sms_consent_at,
        left(c.sms_consent_source::text, 200),
        smsretry.number_key(retry.business_id, c.phone),
        case
            when not exists (
                select from smsretry.events e
                where e.about = c.id
                  and e.code = 'number_changed'
                  and e.at >= presume_send.begun_at
            )
                then left(c.phone, 40)
        end,
        left(l.subject, smsretry.longest_body() + 1),
        retry.business_id
    from (select) always -- a row even if both are gone
    left join public.customers c on c.id = retry.customer_id
    left join public.send_logs l on l.id = retry.send_log_id
    where c.id is null or btrim(c.phone) <> ''
    returning id
    into v_id;
    return v_id;
end
$$;
