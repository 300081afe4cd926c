-- The provider asks to go slower with a sender: its time is given away for so many seconds, a quarter of an hour at most, and no
-- claim takes texts of it until then. What is given away already stays so. Returns in how many seconds it is free.
create or replace function public.slow_sms_sender(sender text, seconds double precision)
returns double precision language plpgsql security invoker set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
declare
    v_now constant timestamptz := smsretry.clock();
    v_until constant timestamptz :=
        v_now + make_interval(secs => least(greatest(coalesce(slow_sms_sender.seconds, 0), 0), 900));
    v_free_at timestamptz;
begin
    if slow_sms_sender.sender is null then
        raise exception 'sender must be given: whose texts go slower' using errcode = 'SR422';
    end if;
    insert into smsretry.sender_time as s (sender, free_at) values (slow_sms_sender.sender, v_until)
    on conflict (sender) do update
    -- More than an hour: a rate was set wrong (lease_sms_time).
    set free_at = case when s.free_at > v_now + interval '1 hour' then v_until else greatest(s.free_at, v_until) end
    returning s.free_at into v_free_at;
    return extract(epoch from v_free_at - v_now);
end
$$;
