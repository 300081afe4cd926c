-- Return a row to pending until it is due. Locked: as in close_row.
create or replace function smsretry.put_back(retry public.sms_retry_queue, due timestamptz, at timestamptz)
returns void language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    retry.status := 'pending';
    retry.scheduled_for := put_back.due;
    perform smsretry.save_row(retry, put_back.at);
end
$$;
