-- For workers of earlier versions: lease_sms_time, told in how many seconds the segments begin.
create or replace function public.lease_sms_sender(sender text, segments integer, per_second double precision)
returns double precision language plpgsql security invoker set search_path = pg_catalog, pg_temp as $$
begin
    return extract(epoch from l.begins_at - l.asked_at)
    from public.lease_sms_time(
        lease_sms_sender.sender, greatest(lease_sms_sender.segments, 1), lease_sms_sender.per_second) l;
end
$$;

revoke all on function public.lease_sms_sender from public, anon, authenticated;
grant execute on function public.lease_sms_sender to service_role;
