-- Stop marketing texts to a US state, or lift the stop (why null). why: the emergency. Returns whether it is stopped.
create or replace function public.set_sms_state_stop(state text, why text)
returns boolean language plpgsql security invoker set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
begin
    if (set_sms_state_stop.state ~ '^[A-Z]{2}$') is not true then
        raise exception 'state must be two capital letters, such as LA' using errcode = 'SR422';
    end if;
    if set_sms_state_stop.why is null then
        delete from smsretry.stopped_states s where s.state = set_sms_state_stop.state;
        return false;
    end if;
    insert into smsretry.stopped_states (state, stopped_at, why)
    values (set_sms_state_stop.state, smsretry.clock(), smsretry.numberless(set_sms_state_stop.why))
    on conflict (state) do update set why = excluded.why;
    return true;
end
$$;
