-- Make a worker's begin, finish, defer, hold and end calls as one transaction. One that fails is undone alone.
-- calls: [{"function", "values", "lock_order"}]. May be repeated, as each of them may.
--   place: in the array, from 1 · answer: the function's · code, message, hint: its error · seconds: how long it took; null
--   with the code 57014: no time was left, and it was not made
-- lock_order keeps two groups from deadlocking. A locked row is waited for half a second once in a group, and then hardly at
-- all. A group has a second, so that the database never works for a caller who has given up. A single call that takes longer
-- (a trigger that sleeps) is cancelled alone: PostgREST applies statement_timeout to the whole call (db-hoisted-tx-settings,
-- since 12.2; https://docs.postgrest.org/en/v13/references/transactions.html#function-settings).
create or replace function public.group_sms_calls(calls jsonb)
returns table (place integer, answer jsonb, code text, message text, hint text, seconds double precision)
language plpgsql security invoker set search_path = pg_catalog, pg_temp
set statement_timeout = '2s' as $$
declare
    v_until constant timestamptz := clock_timestamp() + interval '1 second';
    v_call record;
    v_began timestamptz;
    v_over boolean := false;
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
        seconds := null;
        v_began := clock_timestamp();
        if v_over or v_began > v_until then
            code := '57014';
            return next;
            continue;
        end if;
        begin
            set constraints all deferred; -- to what they are in a transaction of the call's own
            answer := smsretry.answer_sms_call(v_call.value ->> 'function', v_call.value -> 'values');
            set constraints all immediate; -- a deferred check would undo the others, too
        exception
            when query_canceled then -- the time is over and is not counted again: nothing more is begun
                get stacked diagnostics code = returned_sqlstate, message = message_text;
                answer := null;
                v_over := true;
            when others then
                get stacked diagnostics code = returned_sqlstate, message = message_text, hint = pg_exception_hint;
                answer := null;
                if code = '55P03' then
                    perform set_config('smsretry.wait', '10ms', true);
                end if;
        end;
        seconds := extract(epoch from clock_timestamp() - v_began);
        return next;
    end loop;
end
$$;
