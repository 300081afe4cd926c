-- ======== drop smsretry.rehearse_scheduled_send ========
do $$
declare
    version regprocedure;
begin
    for version in
        select p.oid::regprocedure from pg_catalog.pg_proc p
        where p.pronamespace = 'smsretry'::regnamespace and p.proname = 'rehearse_scheduled_send'
    loop
        execute format('drop function %s', version);
    end loop;
end
$$;

-- ======== drop smsretry.rehearse_text ========
do $$
declare
    version regprocedure;
begin
    for version in
        select p.oid::regprocedure from pg_catalog.pg_proc p
        where p.pronamespace = 'smsretry'::regnamespace and p.proname = 'rehearse_text'
    loop
        execute format('drop function %s', version);
    end loop;
end
$$;

-- ======== schemas/checks/advice_on_triggers.sql ========
-- What to do if a function of the application's trigger did not find a table, function or type by its bare name: our
-- functions call it with our search_path, which does not have public. Empty if the error is another one. `context`: the
-- error's, which names the functions that were running.
create or replace function smsretry.advice_on_triggers(state text, context text)
returns text
language sql stable security invoker set search_path = pg_catalog, pg_temp as $$
    select coalesce(string_agg(
        '. Trigger ' || quote_ident(t.tgname) || ' of ' || t.tgrelid::regclass || ' calls ' || p.oid::regprocedure
            || ', which has no search_path of its own and here does not find what is in public. Run: alter '
            || case p.prokind when 'p' then 'procedure ' else 'function ' end || p.oid::regprocedure || ' set search_path = public'
            || case when to_regnamespace('extensions') is null then '' else ', extensions' end,
        '' order by t.tgrelid::regclass::text, t.tgname), '')
    from pg_trigger t
    join pg_class c on c.oid = t.tgrelid and c.relnamespace = 'public'::regnamespace
        and c.relname in ('businesses', 'customers', 'send_logs', 'scheduled_sends', 'sms_retry_queue')
    join pg_proc p on p.oid = t.tgfoid and p.pronamespace <> 'smsretry'::regnamespace
    where not t.tgisinternal and t.tgenabled in ('O', 'A')
      -- undefined_table, _function, _object, _column and invalid_schema_name
      and advice_on_triggers.state in ('42P01', '42883', '42704', '42703', '3F000')
      and not exists (select from unnest(p.proconfig) s where s like 'search\_path=%')
      and position(p.oid::regprocedure::text in advice_on_triggers.context) > 0
$$;

-- ======== schemas/checks/check_leaks.sql ========
-- What shows rows to people whom they do not concern, or lets these change them: policies that hold for every row, views with
-- their owner's rights, publications, new rows of the queue by other rules than ours. Warnings, because somebody may have
-- meant them.
create or replace function smsretry.check_leaks()
returns table (subject text, ok boolean, advice text)
language sql stable security invoker set search_path = pg_catalog, pg_temp as $$
    with whom (named, words) as (values ('anon', 'anyone with the anon key'), ('authenticated', 'every signed-in user')),
    open as (
        select y.polname, r.relname, c.command, c.privilege, g.rolname, w.words
        from smsretry.our_relations() t
        join pg_class r on r.oid = t.id and r.relnamespace = 'public'::regnamespace
        join pg_policy y on y.polrelid = r.oid and y.polpermissive
        join (values ('r', 'read', 'select'), ('a', 'add', 'insert'), ('w', 'change', 'update'), ('d', 'delete', 'delete'))
            as c (command, does, privilege) on y.polcmd in (c.command::"char", '*')
        join pg_roles g on y.polroles @> array[0::oid] or g.oid = any (y.polroles)
        join whom w on w.named = g.rolname
        where smsretry.holds_for_all(case c.command when 'a' then coalesce(pg_get_expr(y.polwithcheck, y.polrelid), pg_get_expr(y.polqual, y.polrelid))
                                                    else pg_get_expr(y.polqual, y.polrelid) end)
          and (has_table_privilege(g.oid, r.oid, c.privilege)
               or c.command <> 'd' and has_any_column_privilege(g.oid, r.oid, c.privilege))
    )
    select 'policy "' || o.polname || '" of ' || o.relname, true,
           'lets ' || string_agg(distinct o.words, ' and ') || case
               when o.command = 'a' and o.relname in ('sms_retry_queue', 'scheduled_sends') then ' have any other''s texts sent: drop or narrow it'
               else case o.command when 'r' then ' read' when 'w' then ' change' when 'd' then ' delete' else ' add' end
                   || case o.command when 'a' then ' rows of anybody''s' else ' all rows' end || ': drop or narrow it, unless that is meant' end
    from open o
    group by o.polname, o.relname, o.command
    union all
    select 'policy "' || y.polname || '" of sms_retry_queue', true,
           'lets every signed-in user add rows that smsretry''s own policy refuses, unless that is meant: rows that are not '
               || 'pending, or for another''s text. Run: drop policy ' || quote_ident(y.polname) || ' on public.sms_retry_queue'
    from pg_policy y
    where y.polrelid = to_regclass('public.sms_retry_queue') and y.polpermissive and y.polcmd in ('a', '*')
      and y.polname <> 'Owners queue retries of their texts'
      and exists (select from pg_roles g where g.rolname = 'authenticated' and has_any_column_privilege(g.oid, y.polrelid, 'insert')
                  and (y.polroles @> array[0::oid] or g.oid = any (y.polroles)))
      and not exists (select from open o where o.polname = y.polname and o.relname = 'sms_retry_queue' and o.command = 'a')
    union all
    select 'view ' || v.oid::regclass, true,
           'shows ' || string_agg(distinct w.words, ' and ') || ' rows of ' || string_agg(distinct t.named, ', ')
               || ' with its owner''s rights, past row level security, unless that is meant. Run: alter view ' || v.oid::regclass
               || ' set (security_invoker = true)'
    from smsretry.our_relations() t
    join pg_depend d on d.refclassid = 'pg_class'::regclass and d.refobjid = t.id and d.classid = 'pg_rewrite'::regclass and d.deptype = 'n'
    join pg_rewrite u on u.oid = d.objid
    join pg_class v on v.oid = u.ev_class and v.relkind = 'v' and v.oid <> t.id
    join whom w on has_any_column_privilege(w.named, v.oid, 'select')
    where t.relkind in ('r', 'p') and coalesce(v.reloptions && array['security_invoker=true', 'security_invoker=on', 'security_invoker=1'], false) is false
    group by v.oid
    union all
    select 'publication ' || p.pubname, true,
           'carries ' || count(*) || ' tables of the schema smsretry out of the database, unless that is meant: drop the schema from it'
    from pg_publication_tables p
    join pg_publication b on b.pubname = p.pubname and not b.puballtables
    where p.schemaname = 'smsretry' and not exists (select from pg_publication_rel e where e.prpubid = b.oid)
    group by p.pubname
$$;

-- ======== schemas/checks/rehearse_scheduled_send.sql ========
-- Plan and queue a scheduled send, and roll it back. Nulls if that worked, or if only a made-up text would break what this
-- one broke; otherwise the step that failed, and its error.
create or replace function smsretry.rehearse_scheduled_send(out step text, out state text, out message text, out context text)
language plpgsql security invoker set search_path = pg_catalog, pg_temp as $$
declare
    v_log_id uuid;
    v_log public.send_logs;
    v_scheduled_id uuid;
    v_answer text;
begin
    step := 'making its send log';
    v_log_id := smsretry.sample_text();
    select * into v_log from public.send_logs l where l.id = v_log_id;
    perform smsretry.make_send_log(
        gen_random_uuid(), coalesce(v_log.business_id, gen_random_uuid()), coalesce(v_log.customer_id, gen_random_uuid()),
        'Rehearsal of a scheduled send', smsretry.clock());
    if v_log.id is null then
        raise exception 'there is nobody to plan it for' using errcode = 'SR000';
    end if;
    step := 'schedule_sms';
    select s.scheduled_id into v_scheduled_id
    from public.schedule_sms(v_log.business_id, v_log.customer_id, 'Rehearsal of a scheduled send', smsretry.clock()) s;
    step := 'queue_scheduled_sms';
    select q.result || coalesce(': ' || q.why, '') into v_answer
    from public.scheduled_sends s cross join lateral smsretry.queue_scheduled(s, smsretry.clock(), null) q
    where s.id = v_scheduled_id;
    if v_answer is distinct from 'queued' then
        raise exception 'it answered %', v_answer using errcode = 'SR500';
    end if;
    raise exception 'rolled back' using errcode = 'SR000';
exception when others then
    get stacked diagnostics state = returned_sqlstate, message = message_text, context = pg_exception_context;
    -- A second text of the same customer may break a rule of the application's. A made-up customer breaks foreign keys and
    -- triggers; then only what any row would break counts.
    if state in ('SR000', '55P03', '40P01', '23505')
        or v_log.id is null and state not in ('23502', '23514', '428C9') then
        step := null;
    end if;
end
$$;

-- ======== schemas/checks/rehearse_text.sql ========
-- Queue, claim, begin and finish a sample text, or cancel it by an opt-out, so that it ends as `ends`, and roll it back.
-- Nulls if that worked; otherwise the step that failed, and its error.
create or replace function smsretry.rehearse_text(ends text, out step text, out state text, out message text, out context text)
language plpgsql security invoker set search_path = pg_catalog, pg_temp as $$
declare
    v_log_id uuid;
    v_log public.send_logs;
    v_retry_id uuid;
    v_claim smsretry.claimed_retry;
    v_attempt_id constant uuid := gen_random_uuid();
    v_answer text;
begin
    step := 'making a sample text';
    v_log_id := smsretry.sample_text();
    select * into v_log from public.send_logs l where l.id = v_log_id;
    if v_log.id is null then
        raise exception 'there is no text to try it with yet' using errcode = 'SR000';
    end if;
    step := 'queue_sms_retry';
    select q.retry_id, q.result into v_retry_id, v_answer from public.queue_sms_retry(v_log.id) q;
    if v_answer <> 'queued' then
        raise exception 'it answered %', v_answer using errcode = 'SR500';
    end if;
    if ends = 'cancelled' then
        step := 'record_sms_consent';
        select s.cancelled::text into v_answer
        from public.record_sms_consent('+15005550006', 'opted_out', 'rehearsal', v_log.business_id) s;
        if v_answer = '0' then
            raise exception 'an opt-out cancelled nothing' using errcode = 'SR500';
        end if;
    else
        step := 'claim_sms_texts';
        perform 1 from public.claim_sms_texts(0); -- none: the due rows are not ours to take
        step := 'claim_sms_retry';
        select * into v_claim from public.claim_sms_retry(v_retry_id);
        if v_claim.id is null then
            raise exception 'it took no row' using errcode = 'SR500';
        end if;
        step := 'begin_sms_attempt';
        delete from smsretry.business_senders b where b.business_id = v_log.business_id; -- or a pause or a cap would answer
        select b.answer || coalesce(': ' || b.why, '') into v_answer
        from public.begin_sms_attempt(
            retry_id => v_claim.id, claim_no => v_claim.claim_no, attempt_id => v_attempt_id,
            send_before => smsretry.clock() + interval '1 hour', quiet_hours_rule => 'rehearsal') b;
        if v_answer <> 'go' then
            raise exception 'it answered %', v_answer using errcode = 'SR500';
        end if;
        step := 'finish_sms_attempt';
        select f.status into v_answer
        from public.finish_sms_attempt(
            retry_id => v_claim.id, claim_no => v_claim.claim_no, attempt_id => v_attempt_id,
            outcome => case ends when 'failed' then 'rejected' else 'accepted' end, next_status => ends,
            error => case ends when 'failed' then 'Rehearsal' end,
            twilio_sid => case ends when 'completed' then 'SM' || replace(v_attempt_id::text, '-', '') end) f
        where f.applied;
        if v_answer is distinct from ends then
            raise exception 'the text did not end %', ends using errcode = 'SR500';
        end if;
    end if;
    step := null;
    raise exception 'rolled back' using errcode = 'SR000';
exception when others then
    get stacked diagnostics state = returned_sqlstate, message = message_text, context = pg_exception_context;
end
$$;

-- ======== schemas/checks/try_sms_retry_queue.sql ========
-- Rehearse for `smsretry doctor` and `smsretry migrate`: one sample text ends completed, one failed, one cancelled.
-- Everything is rolled back, and no row of the application's is touched. ok is false if a step failed; advice says which, or
-- why it could not be tried now. A second row reports a failing scheduled send; it is ok, because no other text depends on
-- it.
create or replace function public.try_sms_retry_queue()
returns table (subject text, ok boolean, advice text)
language plpgsql security invoker set search_path = pg_catalog, pg_temp
set lock_timeout = '2s' as $$
declare
    v_ends text;
    v_failed record;
begin
    subject := 'rehearsal of queue, claim, begin and finish';
    ok := true;
    foreach v_ends in array array['completed', 'failed', 'cancelled'] loop
        select * into v_failed from smsretry.rehearse_text(v_ends);
        if v_failed.step is not null then
            -- No text to try with, or a lock: nothing is known to be wrong.
            ok := v_failed.state in ('SR000', '55P03', '40P01');
            advice := case when ok then 'could not be tried: ' else 'fails: ' end
                || v_failed.step || ' (' || v_failed.state || '): ' || left(v_failed.message, 300)
                || case when v_failed.state = '42501' then '. A grant is missing: run `smsretry migrate --again`' else '' end
                || smsretry.advice_on_triggers(v_failed.state, v_failed.context);
            exit;
        end if;
    end loop;
    return next;
    if not ok then
        return;
    end if;
    select * into v_failed from smsretry.rehearse_scheduled_send();
    if v_failed.step is not null then
        subject := 'rehearsal of a scheduled send';
        advice := 'fails: ' || v_failed.step || ' (' || v_failed.state || '): ' || left(v_failed.message, 300) || case v_failed.step
            when 'schedule_sms' then '. What the application inserts by itself is queued; for the call, give what is named a default'
            else '. Until that is fixed, scheduled sends are held and become no texts: give what is named a default, or look '
                || 'at the rules and triggers of send_logs and scheduled_sends' end
            || smsretry.advice_on_triggers(v_failed.state, v_failed.context);
        return next;
    end if;
end
$$;

-- ======== schemas/rights/internal_functions.sql ========
-- Only the backend calls the functions in the schema smsretry.
revoke all on all functions in schema smsretry from public, anon, authenticated;
grant execute on all functions in schema smsretry to service_role;

-- ======== schemas/rights/public_functions.sql ========
-- Only the backend calls our functions in public. A Supabase project lets everybody call a new one. A function that a
-- migration created anew (smsretry.granted_…) keeps the roles of the owner's own that may call it.
do $$
declare
    version regprocedure;
    granted text;
    role regrole;
begin
    for version, granted in
        select p.oid::regprocedure, current_setting('smsretry.granted_' || p.proname, true) from pg_catalog.pg_proc p
        where p.pronamespace = 'public'::regnamespace and 'search_path=pg_catalog, pg_temp' = any (p.proconfig) and p.proname in (
        'add_sms_sender', 'ask_sms_desk', 'begin_sms_attempt', 'cancel_sms_retries', 'change_sms_sender', 'check_sms_retries', 'check_sms_retry_setup', 'claim_doubtful_sms_retries', 'claim_due_sms_retries', 'claim_sms_deliveries', 'claim_sms_retry', 'claim_sms_texts', 'claim_suspect_sms_retry', 'count_sms_answer', 'defer_sms_retry', 'describe_sms_tables', 'doubt_sms_retries', 'end_sms_retry', 'examine_sms_retries', 'explain_sms', 'finish_sms_attempt', 'finish_sms_delivery', 'finish_sms_run', 'group_sms_calls', 'hold_sms_retry', 'lease_sms_sender', 'lease_sms_time', 'lease_sms_times', 'look_again_sms', 'look_up_sms', 'next_sms_due', 'pause_sms_sender', 'preview_sms_retries', 'prune_sms_history', 'queue_scheduled_sms', 'queue_sms_retry', 'reconcile_sms_retry', 'record_inbound_sms', 'record_sms_consent', 'recover_stuck_sms_retries', 'remove_sms_sender', 'requeue_failed_sms', 'resolve_sms_doubt', 'resume_sms_sender', 'schedule_sms', 'set_sms_circuit', 'set_sms_state_stop', 'settle_sms_attempt', 'slow_sms_sender', 'sms_senders', 'sms_status', 'start_sms_run', 'try_sms_retry_queue'
        )
    loop
        execute format('revoke all on function %s from public, anon, authenticated', version);
        execute format('grant execute on function %s to service_role', version);
        foreach role in array coalesce(nullif(granted, ''), '{}')::regrole[] loop
            continue when role::text in ('anon', 'authenticated', 'service_role');
            execute format('grant execute on function %s to %s', version, role);
        end loop;
    end loop;
end
$$;

-- ======== PostgREST learns of the change at once ========
notify pgrst, 'reload schema';
