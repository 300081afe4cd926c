-- A send that may have been made without a begin, by the application's own processor or before a restore: it counts as begun
-- when the row was claimed, with what the rows say now.
create or replace function smsretry.begin_for_application(retry public.sms_retry_queue)
returns public.sms_retry_queue language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    retry.attempt_id := gen_random_uuid();
    retry.begun_at := retry.claimed_at;
    perform smsretry.write_attempt(retry, retry.attempt_id, retry.attempt_count + 1, retry.claimed_at);
    return retry;
end
$$;
