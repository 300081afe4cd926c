-- A question to the desk for who only reads, answered as one JSON array: explain_sms, list_sms, look_up_sms, preview_sms_retries,
-- sms_senders or sms_status, with their parameters in asked. No answer holds a whole number or a body.
-- security definer: it is all that smsretry_reader may do. The answers are made from numbers and bodies, so a role that asked
-- as itself could read those, too; and the application's tables would need policies and grants for it.
create or replace function public.ask_sms_desk(question text, asked jsonb default '{}')
returns jsonb language plpgsql stable security definer set search_path = pg_catalog, pg_temp as $$
declare
    v_asked constant jsonb := coalesce(ask_sms_desk.asked, '{}') - 'with_numbers';
    v_ours oid[];
    v_typed text;
    v_passed text;
    v_unknown text;
    v_answer jsonb;
begin
    if (ask_sms_desk.question in ('explain_sms', 'list_sms', 'look_up_sms', 'preview_sms_retries', 'sms_senders', 'sms_status')) is not true
        or jsonb_typeof(v_asked) <> 'object' then
        raise exception 'question must be explain_sms, list_sms, look_up_sms, preview_sms_retries, sms_senders or sms_status, and asked an object'
            using errcode = 'SR422', hint = 'Orders need the service key.';
    end if;
    if length(v_asked ->> 'last_digits') > 4 then -- by one more digit at a time, anybody's whole number would be found
        raise exception 'With the reader''s key, last_digits are 3 or 4: it sees no more of a number' using errcode = 'SR422',
            hint = 'Ask for the last 4, by an id, or for the whole number.';
    end if;
    v_ours := array(select p.oid from pg_catalog.pg_proc p
                    where p.pronamespace = 'public'::regnamespace and p.proname = ask_sms_desk.question);
    -- Another function of that name might be somebody else's, and would run with the owner's rights.
    if cardinality(v_ours) <> 1 or not (select pg_has_role(p.proowner, 'member') from pg_catalog.pg_proc p where p.oid = v_ours[1]) then
        raise exception 'public.% is not the only function of that name, or not this owner''s', ask_sms_desk.question
            using errcode = 'SR422', hint = 'Drop what is not smsretry''s, then run `smsretry migrate --again`.';
    end if;
    select string_agg(format('%I %s', a.name, format_type(a.type, -1)), ', '), string_agg(format('%1$I => g.%1$I', a.name), ', ')
    into v_typed, v_passed
    from pg_catalog.pg_proc p cross join lateral unnest(p.proargnames[1:p.pronargs], p.proargtypes::oid[]) a (name, type)
    where p.oid = v_ours[1] and v_asked ? a.name;
    select string_agg(k, ', ') into v_unknown from jsonb_object_keys(v_asked) k
    where not exists (select from pg_catalog.pg_proc p where p.oid = v_ours[1] and k = any (p.proargnames[1:p.pronargs]));
    if v_unknown is not null then
        raise exception '% has no parameter %', ask_sms_desk.question, v_unknown using errcode = 'SR422';
    end if;
    execute format('select coalesce(jsonb_agg(to_jsonb(a)), ''[]'') from %s cross join lateral public.%I(%s) a',
                   coalesce('jsonb_to_record($1) g (' || v_typed || ')', '(select 1) g'), ask_sms_desk.question, v_passed)
    into v_answer using v_asked;
    if ask_sms_desk.question = 'preview_sms_retries' then
        return (select coalesce(jsonb_agg(smsretry.without_number(e.line) order by e.place), '[]')
                from jsonb_array_elements(v_answer) with ordinality e (line, place));
    end if;
    return v_answer;
end
$$;
