-- Make a worker's begin, finish, defer and end calls as one transaction. One that fails is undone
-- alone. May be repeated, as each of them may. A group has a second, so that the database never
-- works for a caller who has given up. A call that takes longer (a trigger that sleeps) is
-- cancelled alone: PostgREST applies statement_timeout to the whole call (db-hoisted-tx-settings,
-- since 12.2; https://docs.postgrest.org/en/v13/references/transactions.html#function-settings). A
-- locked row is waited for half a second once in a group, and then hardly at all.
--   calls: an array of objects:
--     function: its name
--     values: its parameters by name; one that is missing has its default
--     lock_order: calls are made in this order, so that two groups do not deadlock
-- It returns an array with an object for each call that was made. A call that is missing there was
-- not made, because no time was left:
--   place: of the call in calls, from 1
--   answer: the function's answer; or, if it failed:
--   code, message, hint: its error
create or replace function public.group_sms_calls(calls jsonb)
returns jsonb
language plpgsql set search_path = pg_catalog, pg_temp
set statement_timeout = '2s' as $$
declare
    v_until constant timestamptz := clock_timestamp() + interval '1 second';
    v_call record;
    v_code text;
    v_message text;
    v_hint text;
    v_answer jsonb;
    v_answers jsonb := '[]';
begin
    if (
        jsonb_typeof(group_sms_calls.calls) = 'array'
        and jsonb_array_length(group_sms_calls.calls) between 1 and 100
    ) is not true
    then
        raise exception 'calls must be an array of 1 to 100 calls'
            using errcode = 'SR422';
    end if;
    perform set_config('smsretry.wait', '500ms', true);
    for v_call in
        select c.value, c.ordinality::integer as place
        from jsonb_array_elements(group_sms_calls.calls) with ordinality c
        order by c.value ->> 'lock_order', c.ordinality
    loop
        v_code := null;
        begin
            set constraints all deferred; -- as in a transaction of the call's own
            v_answer := smsretry.group_call(
                v_call.value ->> 'function',
                v_call.value -> 'values'
            );
            v_answer := jsonb_build_object('answer', v_answer);
            set constraints all immediate; -- a deferred check would undo the others, too
        exception
            when query_canceled or others then
                get stacked diagnostics
                    v_code = returned_sqlstate,
                    v_message = message_text,
                    v_hint = pg_exception_hint;
                v_answer := jsonb_build_object(
                    'code', v_code,
                    'message', v_message,
                    'hint', v_hint
                );
                if v_code = '55P03' then
                    perform set_config('smsretry.wait', '10ms', true);
                end if;
        end;
        v_answers := v_answers
            || (v_answer || jsonb_build_object('place', v_call.place));
        -- the time is over and is not counted again: nothing more is begun
        exit when v_code = '57014'
            or clock_timestamp() > v_until;
    end loop;
    return v_answers;
end
$$;
