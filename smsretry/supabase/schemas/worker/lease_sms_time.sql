-- Reserve a sender's time for so many segments, in one piece, so that all workers together keep its rate. Unused time is lost.
--   begins_at: `lead` seconds from now at the soonest, because the answer takes a while · asked_at: the database's clock
-- No segments: nothing is reserved. If more than an hour is reserved, a rate was set wrong, and it starts over from now.
create or replace function public.lease_sms_time(
    sender text, segments integer, per_second double precision, lead double precision default 0
)
returns table (begins_at timestamptz, asked_at timestamptz)
language plpgsql security invoker set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
declare
    v_now timestamptz := smsretry.clock();
    v_first timestamptz;
    v_takes interval;
    v_ends timestamptz;
begin
    if (lease_sms_time.per_second > 0) is not true then
        raise exception 'per_second must be above 0' using errcode = 'SR422';
    end if;
    if (lease_sms_time.segments > 0) is not true then
        return query select v_now, v_now;
        return;
    end if;
    v_takes := make_interval(secs => lease_sms_time.segments / lease_sms_time.per_second);
    v_first := v_now + make_interval(secs => least(greatest(coalesce(lease_sms_time.lead, 0), 0), 60));
    insert into smsretry.sender_time as s (sender, free_at) values (lease_sms_time.sender, v_first + v_takes)
    on conflict (sender) do update
        set free_at = case when s.free_at > v_now + interval '1 hour' then v_first else greatest(s.free_at, v_first) end + v_takes
    returning s.free_at into v_ends;
    return query select v_ends - v_takes, v_now;
end
$$;
