-- Copy the business to an attempt whose delivery opens, so that deliveries can be looked at in turns.
create or replace function smsretry.open_delivery()
returns trigger language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    new.business_id := (select q.business_id from public.sms_retry_queue q where q.id = new.retry_id);
    return new;
end
$$;
