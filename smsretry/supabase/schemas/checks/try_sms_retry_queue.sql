-- Try whether a text would go out, for `smsretry doctor` and `smsretry migrate`. Everything is
-- rolled back. A row each:
--   rehearsal of a text: and of a STOP, and of a scheduled send where one waits. ok is false if a
--     step failed; advice says which and why, or why it could not be tried now
--   what defaults and triggers write: another number, time or class than was given, and whether the
--     triggers that keep opt-outs are switched off
--   mark of the database: whether a worker that texts send_to and reaches the database at address
--     fits it
create or replace function public.try_sms_retry_queue(
    send_to text default 'nobody',
    address text default null
)
returns table (subject text, ok boolean, advice text)
language plpgsql set search_path = pg_catalog, pg_temp
set lock_timeout = '2s' as $$
declare
    v_row public.sms_retry_queue;
    v_attempt_id constant uuid := gen_random_uuid();
    v_step text;
    v_answer text;
    v_state text;
    v_context text;
    v_hint text;
    v_due constant timestamptz := smsretry.clock();
    v_changes text;
    v_began constant timestamptz := clock_timestamp();
begin
    subject := 'rehearsal of a text';
    begin
        v_step := 'claim_sms_texts';
        perform from public.claim_sms_texts(0); -- none: the due rows are not ours to take
        v_step := 'number_key';
        -- without it nobody's opt-out is recognized
        perform smsretry.number_key(v_attempt_id, '+15005550006');
        v_step := 'making a sample text';
        v_row.send_log_id := smsretry.sample_text();
        v_changes := concat_ws(
            '. ',
            (
                select 'session_replication_role switches the triggers off that keep opt-outs: reset it for '
                    || coalesce(min(r.rolname), 'the database')
                from pg_catalog.pg_db_role_setting s
                left join pg_catalog.pg_roles r on r.oid = s.setrole
                where 'session_replication_role=replica' = any (s.setconfig)
                  and coalesce(r.rolname, 'authenticator') in (
                      'authenticator',
                      'authenticated',
                      'service_role'
                  )
                having count(*) > 0
            ),
            (
                select 'A trigger on customers writes numbers in another form than E.164, and their texts are held'
                from public.send_logs l
                join public.customers c on c.id = l.customer_id
                where l.id = v_row.send_log_id
                  and c.phone::text !~ '^[+][1-9][0-9]{7,14}$'
            )
        );
        v_changes := concat_ws(
            '. ',
            nullif(v_changes, ''),
            (
                select 'The default of sms_retry_queue.status is '
                    || pg_get_expr(d.adbin, d.adrelid)
                    || ', and only pending is queued: alter table public.sms_retry_queue alter status set default ''pending'''
                from pg_attrdef d
                join pg_attribute a on a.attrelid = d.adrelid and a.attnum = d.adnum
                where d.adrelid = 'public.sms_retry_queue'::regclass
                  and a.attname = 'status'
                  and pg_get_expr(d.adbin, d.adrelid) not like '''pending''%'
            )
        );
        v_step := 'an insert of the application''s';
        insert into public.sms_retry_queue (
            business_id,
            send_log_id,
            customer_id,
            status,
            attempt_count,
            max_attempts,
            scheduled_for,
            last_error,
            reason
        )
        select
            l.business_id,
            l.id,
            l.customer_id,
            'pending',
            0,
            3,
            v_due,
            'Rehearsal',
            'twilio_error'
        from public.send_logs l
        where l.id = v_row.send_log_id;
        v_changes := concat_ws(
            '. ',
            nullif(v_changes, ''),
            (
                select 'A default or a trigger on sms_retry_queue changes when a text is due, or its message_class from marketing'
                from public.sms_retry_queue q
                where q.send_log_id = v_row.send_log_id
                  and q.status = 'pending'
                  and (
                      q.scheduled_for > v_due + interval '1 minute'
                      or q.message_class <> 'marketing'
                  )
            )
        );
        update public.sms_retry_queue q
        set status = 'cancelled'
        where q.send_log_id = v_row.send_log_id;
        if clock_timestamp() - v_began > interval '1 second' then
            v_changes := concat_ws(
                '. ',
                nullif(v_changes, ''),
                'A trigger on customers, send_logs or sms_retry_queue takes more than a second, for which each text waits: make it faster'
            );
        end if;
        v_step := 'queue_sms_retry';
        perform from public.queue_sms_retry(v_row.send_log_id);
        select q.*
        into v_row
        from public.sms_retry_queue q
        where q.send_log_id = v_row.send_log_id
          and q.status = 'pending';
        delete from smsretry.business_senders b
        where b.business_id = v_row.business_id; -- else a pause or a cap would answer
        v_step := 'claim_sms_retry';
        v_row.claim_no := (
            public.claim_sms_retry(v_row.id) -> 'texts' -> 0 ->> 'claim_no'
        )::bigint;
        if v_row.claim_no is null then
            raise exception 'it took no row: a trigger or a rule may have swallowed its update'
                using errcode = 'SR500';
        end if;
        v_step := 'begin_sms_attempt';
        select b.answer || coalesce(': ' || b.why, '')
        into v_answer
        from public.begin_sms_attempt(
            retry_id => v_row.id,
            claim_no => v_row.claim_no,
            attempt_id => v_attempt_id,
            send_before => smsretry.clock() + interval '1 hour',
            quiet_hours_rule => 'rehearsal',
            send_to => 'listed',
            listed => true
        ) b; -- else a mark would answer
        if v_answer = 'go' then
            v_step := 'finish_sms_attempt';
            perform from public.finish_sms_attempt(
                retry_id => v_row.id,
                claim_no => v_row.claim_no,
                attempt_id => v_attempt_id,
                next_status => 'completed',
                outcome => 'accepted',
                twilio_sid => 'SM' || replace(v_attempt_id::text, '-', '')
            );
            select format(
                'that its row is %s, and its send log %s',
                q.status,
                l.status
            )
            into v_answer
            from public.sms_retry_queue q
            left join public.send_logs l on l.id = q.send_log_id
            where q.id = v_row.id;
            v_step := case
                when v_answer <> 'that its row is completed, and its send log sent'
                    then v_step
            end;
        end if;
        if v_step is null
            and exists (
                select from public.scheduled_sends s
                where s.status = 'scheduled'
            ) then
            v_step := 'schedule_sms';
            v_row.id := (
                select s.scheduled_id
                from public.schedule_sms(
                    v_row.business_id,
                    v_row.customer_id,
                    'Rehearsal',
                    smsretry.clock()
                ) s
            );
            v_step := 'queue_scheduled_sms';
            perform from public.scheduled_sends s
            cross join lateral smsretry.queue_scheduled(
                s,
                smsretry.clock(),
                interval '1 day'
            )
            where s.id = v_row.id;
            v_step := null;
        end if;
        if v_step is null then
            v_step := 'record_inbound_sms';
            perform from public.customers c
            cross join lateral public.record_inbound_sms(
                c.phone,
                'SM' || replace(v_attempt_id::text, '-', ''),
                'STOP'
            )
            where c.id = v_row.customer_id;
            v_step := null;
        end if;
        raise exception 'it answered %', v_answer using errcode = 'SR500';
    exception
        when query_canceled or others then
            get stacked diagnostics
                v_state = returned_sqlstate,
                v_answer = message_text,
                v_context = pg_exception_context,
                v_hint = pg_exception_hint;
    end;
    -- No text to try with, or a lock: nothing is known to be wrong.
    ok := v_state <> '57014'
        and (
            v_step is null
            or v_step = 'making a sample text'
            or v_state in ('55P03', '40P01')
        );
    advice := case
        when ok then 'would not go out now, or could not be tried: '
        else 'fails: '
    end || v_step || ' (' || v_state || '): '
        || left(smsretry.numberless(v_answer), 300)
        || coalesce(
            ' in '
                || nullif(
                    substring(v_context from 'function (\S+)\('),
                    'public.try_sms_retry_queue'
                ),
            ''
        )
        || case
            when v_state = '42501'
                then '. A grant is missing: run `smsretry migrate --again`'
            when exists (
                select from pg_catalog.pg_roles r
                where r.rolname = current_user
                  and v_state like 'SR%'
                  and not (r.rolbypassrls or r.rolsuper)
            )
                then '. Row level security hides rows from it: alter role ' || current_user || ' bypassrls'
            when v_state in ('42P01', '42883', '42704', '3F000')
                then '. A trigger''s function that finds tables by bare names needs: alter function … set search_path = public'
            else coalesce('. ' || nullif(smsretry.numberless(v_hint), ''), '')
        end;
    return next;
    subject := 'what defaults and triggers write';
    ok := coalesce(v_changes, '') = '';
    advice := nullif(v_changes, '');
    return next;
    subject := 'mark of the database';
    advice := smsretry.mark_mismatch(
        try_sms_retry_queue.send_to,
        try_sms_retry_queue.address
    );
    ok := advice is null;
    return next;
end
$$;
