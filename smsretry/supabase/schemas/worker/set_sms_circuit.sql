-- Open the circuit breaker of a sender, or close it (why null). why: what is wrong and what to do. sender: whose it is; '': the
-- provider's, which is everybody's. An environment's (smsretry.is_environments) replaces earlier ones of the environment;
-- closing it closes the provider's, too. business_ids: of these businesses alone; null: of all
-- that the sender sends for, and closing that closes theirs. own: the caller knows it as a sender of the businesses'; if nobody
-- has it any more, nothing is done. Returns whether it is open.
create or replace function public.set_sms_circuit(
    why text, sender text default '', business_ids uuid[] default null, own boolean default false
)
returns boolean language plpgsql security invoker set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
declare
    v_now constant timestamptz := smsretry.clock();
    v_sender constant text := coalesce(set_sms_circuit.sender, '');
    v_why constant text := left(smsretry.numberless(set_sms_circuit.why), smsretry.longest_reason());
    v_own constant boolean := not smsretry.is_environments(v_sender);
begin
    if set_sms_circuit.own and not v_own then -- it was removed meanwhile, and would count as the environment's
        return false;
    end if;
    if set_sms_circuit.business_ids is not null then
        if v_why is null then
            delete from smsretry.business_circuits b
            where b.business_id = any (set_sms_circuit.business_ids) and smsretry.same_circuit(b.sender, v_sender, v_own);
            return false;
        end if;
        delete from smsretry.business_circuits b where b.tried_at < v_now - interval '1 day';
        insert into smsretry.business_circuits (business_id, sender, opened_at, tried_at, why)
        select distinct i.id, v_sender, v_now, v_now, v_why from unnest(set_sms_circuit.business_ids) as i (id)
        where i.id is not null
        order by i.id -- so that two runs lock them in the same order
        on conflict (business_id, sender) do update set tried_at = excluded.tried_at, why = excluded.why;
        return true;
    end if;
    if v_why is null then
        delete from smsretry.business_circuits b where smsretry.same_circuit(b.sender, v_sender, v_own);
        delete from smsretry.circuit c where smsretry.same_circuit(c.sender, v_sender, v_own);
        return false;
    end if;
    insert into smsretry.circuit (sender, opened_at, why) values (v_sender, v_now, v_why)
    on conflict (sender) do update set why = excluded.why;
    delete from smsretry.circuit c
    where v_sender <> '' and c.sender not in ('', v_sender) and smsretry.same_circuit(c.sender, v_sender, v_own);
    return true;
end
$$;
