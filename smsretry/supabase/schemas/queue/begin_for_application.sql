-- The application's own processor claimed this row and fell silent. It begins nothing, so its claim counts as a send that
-- was begun when it was claimed, to whom and with what the rows say now. Likewise where a backup forgot the send.
create or replace function smsretry.begin_for_application(retry public.sms_retry_queue)
returns public.sms_retry_queue language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    retry.attempt_id := gen_random_uuid();
    retry.begun_at := retry.claimed_at;
    perform smsretry.write_attempt(retry, retry.attempt_id, retry.attempt_count + 1, retry.claimed_at);
    return retry;
end
$$;
