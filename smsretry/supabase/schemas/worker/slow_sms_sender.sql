-- Let nothing more of this sender's leave for so many seconds from now, whoever sends it. What is put off already stays so.
create or replace function public.slow_sms_sender(sender text, seconds double precision)
returns void language plpgsql security invoker set search_path = pg_catalog, pg_temp as $$
declare
    v_free_at constant timestamptz := smsretry.clock() + make_interval(secs => slow_sms_sender.seconds);
begin
    if (length(slow_sms_sender.sender) between 1 and 64 and slow_sms_sender.seconds between 0 and 3600) is not true then
        raise exception 'sender must be given, and seconds must be 0 to 3600' using errcode = 'SR422';
    end if;
    insert into smsretry.sender_time as t (sender, free_at) values (slow_sms_sender.sender, v_free_at)
    on conflict on constraint sender_time_pkey do update set free_at = greatest(t.free_at, excluded.free_at);
end
$$;
