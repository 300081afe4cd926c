-- Make one call of a worker's. given: the function's parameters as JSON, by name; one that is missing has its default.
create or replace function smsretry.answer_sms_call(function text, given jsonb)
returns jsonb language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    v_call text;
    v_answer jsonb;
begin
    select format('select to_jsonb(f) from public.%I(%s) f', p.proname,
                  string_agg(format('%I => ($1 ->> %L)::%s', a.name, a.name, a.type::regtype), ', '))
    into v_call
    from pg_proc p cross join lateral unnest(p.proargnames, p.proargtypes::oid[]) a (name, type)
    where p.pronamespace = 'public'::regnamespace and p.proname = answer_sms_call.function
      and p.proname in ('begin_sms_attempt', 'finish_sms_attempt', 'defer_sms_retry', 'end_sms_retry')
      and a.type is not null and answer_sms_call.given ? a.name
    group by p.oid, p.proname;
    if v_call is null then
        raise exception 'There is no call % in a group', answer_sms_call.function using errcode = 'SR422';
    end if;
    execute v_call into v_answer using answer_sms_call.given;
    return v_answer;
end
$$;
