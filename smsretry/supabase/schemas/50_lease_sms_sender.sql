-- Take some of a sender's time: so many segments, at so many a second. Returns in how many seconds they begin: 0 if the
-- sender is free. What is not used is lost. More than an hour ahead nothing is given away: a rate was set wrong and is mended.
create or replace function public.lease_sms_sender(sender text, segments integer, per_second double precision)
returns double precision language plpgsql security invoker set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
declare
    v_now constant timestamptz := smsretry.clock();
    v_takes interval;
    v_ends timestamptz;
begin
    if (lease_sms_sender.per_second > 0) is not true then
        raise exception 'per_second must be above 0' using errcode = 'SR422';
    end if;
    v_takes := make_interval(secs => greatest(lease_sms_sender.segments, 1) / lease_sms_sender.per_second);
    insert into smsretry.sender_time as s (sender, free_at) values (lease_sms_sender.sender, v_now + v_takes)
    on conflict (sender) do update
        set free_at = case when s.free_at > v_now + interval '1 hour' then v_now else greatest(s.free_at, v_now) end + v_takes
    returning s.free_at into v_ends;
    return extract(epoch from v_ends - v_takes - v_now);
end
$$;

revoke all on function public.lease_sms_sender from public, anon, authenticated;
grant execute on function public.lease_sms_sender to service_role;
