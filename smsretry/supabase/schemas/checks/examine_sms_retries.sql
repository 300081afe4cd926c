-- For `smsretry doctor`: the checksum of each object, as one value, which no max-rows of the project's cuts off.
create or replace function public.examine_sms_retries()
returns jsonb language sql stable security invoker set search_path = pg_catalog, pg_temp as $$
    select jsonb_object_agg(c.object, c.md5) from smsretry.checksums() c
$$;
