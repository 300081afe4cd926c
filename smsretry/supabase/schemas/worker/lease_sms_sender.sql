-- For workers of version 1.0: lease_sms_time; returns in how many seconds the segments begin.
create or replace function public.lease_sms_sender(sender text, segments integer, per_second double precision)
returns double precision language plpgsql security invoker set search_path = pg_catalog, pg_temp as $$
begin
    return extract(epoch from l.begins_at - l.asked_at)
    from public.lease_sms_time(
        lease_sms_sender.sender, greatest(lease_sms_sender.segments, 1), lease_sms_sender.per_second) l;
end
$$;
