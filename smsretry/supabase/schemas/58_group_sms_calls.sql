-- Calls of a worker's that are under way together, as one transaction: begin, finish, defer, hold and end. Each answers for
-- itself; one that fails is undone alone, and its answer is the error. calls: [{"function", "values", "lock_order"}].
-- May be repeated, as each of them may.
--   place: the call's place in the array, from 1 · answer: what the function answered · code, message, hint: its error
-- Locks are taken in one order (lock_order), so that two groups do not deadlock. A row that somebody holds locked is
-- waited for half a second once in a group, and then hardly at all: the others wait for it.
create or replace function public.group_sms_calls(calls jsonb)
returns table (place integer, answer jsonb, code text, message text, hint text)
language plpgsql security invoker set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
declare
    v_call record;
begin
    if (jsonb_typeof(group_sms_calls.calls) = 'array' and jsonb_array_length(group_sms_calls.calls) between 1 and 100) is not true then
        raise exception 'calls must be an array of 1 to 100 calls' using errcode = 'SR422';
    end if;
    perform set_config('smsretry.wait', '500ms', true);
    for v_call in
        select c.value, c.ordinality::integer as place
        from jsonb_array_elements(group_sms_calls.calls) with ordinality c
        order by c.value ->> 'lock_order', c.ordinality
    loop
        place := v_call.place;
        answer := null;
        code := null;
        message := null;
        hint := null;
        begin
            answer := smsretry.answer_sms_call(v_call.value ->> 'function', v_call.value -> 'values');
        exception when others then
            get stacked diagnostics code = returned_sqlstate, message = message_text, hint = pg_exception_hint;
            if code = '55P03' then
                perform set_config('smsretry.wait', '10ms', true);
            end if;
        end;
        return next;
    end loop;
end
$$;

revoke all on function public.group_sms_calls from public, anon, authenticated;
grant execute on function public.group_sms_calls to service_role;
