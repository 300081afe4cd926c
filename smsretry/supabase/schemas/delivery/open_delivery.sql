-- The delivery of an attempt is open from now: whose it is stands in it, so that deliveries are looked after in turns.
create or replace function smsretry.open_delivery()
returns trigger language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    new.business_id := (select q.business_id from public.sms_retry_queue q where q.id = new.retry_id);
    return new;
end
$$;
