-- Open the circuit breaker, or close it. why: what is wrong and what to do; null closes it. Returns whether it is open.
create or replace function public.set_sms_circuit(why text)
returns boolean language plpgsql security invoker set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
begin
    if set_sms_circuit.why is null then
        delete from smsretry.circuit where only_one; -- Supabase refuses a delete without a where clause
        return false;
    end if;
    insert into smsretry.circuit (opened_at, why) values (smsretry.clock(), smsretry.numberless(set_sms_circuit.why))
    on conflict (only_one) do update set why = excluded.why;
    return true;
end
$$;

revoke all on function public.set_sms_circuit from public, anon, authenticated;
grant execute on function public.set_sms_circuit to service_role;
