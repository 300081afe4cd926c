-- Stop marketing texts to a US state, or lift the stop (why null). why: the emergency. Returns whether it is stopped.
create or replace function public.set_sms_state_stop(state text, why text)
returns boolean language plpgsql security invoker set search_path = pg_catalog, pg_temp as $$
begin
    if (set_sms_state_stop.state ~ '^[A-Z]{2}$') is not true then
        raise exception 'state must be two capital letters, such as LA' using errcode = 'SR422';
    end if;
    return public.set_sms_stop('state', set_sms_state_stop.state, set_sms_state_stop.why);
end
$$;
