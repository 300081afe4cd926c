-- Rehearse for `smsretry doctor` and at the end of `smsretry migrate`: a sample text is queued, claimed, begun and ends
-- completed, another one failed, a third one cancelled by an opt-out. Each is rolled back: no row stays, nobody sees one,
-- and no row of the application's queue is touched.
-- ok is false if a step failed, and advice says which. If it cannot be tried now, advice says so and ok is true.
-- Then a scheduled send is planned and queued. If that fails a second row says so: ok, because no other text depends on it.
create or replace function public.try_sms_retry_queue()
returns table (subject text, ok boolean, advice text)
language plpgsql security invoker set search_path = pg_catalog, pg_temp
set lock_timeout = '2s' as $$
declare
    v_end text;
    v_step text;
    v_log_id uuid;
    v_log public.send_logs;
    v_retry_id uuid;
    v_claim smsretry.claimed_retry;
    v_attempt_id constant uuid := gen_random_uuid();
    v_said text;
    v_state text;
    v_message text;
begin
    subject := 'rehearsal of queue, claim, begin and finish';
    foreach v_end in array array['completed', 'failed', 'cancelled'] loop
        begin
            v_step := 'making a sample text';
            v_log_id := smsretry.sample_text();
            select * into v_log from public.send_logs l where l.id = v_log_id;
            if v_log.id is null then
                raise exception 'there is no text to try it with yet' using errcode = 'SR000';
            end if;
            v_step := 'queue_sms_retry';
            select q.retry_id, q.result into v_retry_id, v_said from public.queue_sms_retry(v_log.id) q;
            if v_said <> 'queued' then
                raise exception 'it answered %', v_said using errcode = 'SR500';
            end if;
            if v_end = 'cancelled' then
                v_step := 'record_sms_consent';
                select s.cancelled::text into v_said
                from public.record_sms_consent('+15005550006', 'opted_out', 'rehearsal', v_log.business_id) s;
                if v_said = '0' then
                    raise exception 'an opt-out cancelled nothing' using errcode = 'SR500';
                end if;
            else
                v_step := 'claim_due_sms_retries';
                perform 1 from public.claim_due_sms_retries(0, true); -- none: the due rows are not ours to take
                v_step := 'claim_sms_retry';
                select * into v_claim from public.claim_sms_retry(v_retry_id);
                if v_claim.id is null then
                    raise exception 'it took no row' using errcode = 'SR500';
                end if;
                v_step := 'begin_sms_attempt';
                select b.answer || coalesce(': ' || b.why, '') into v_said
                from public.begin_sms_attempt(
                    retry_id => v_claim.id, claim_no => v_claim.claim_no, attempt_id => v_attempt_id,
                    send_before => smsretry.clock() + interval '1 hour', quiet_hours_rule => 'rehearsal') b;
                if v_said <> 'go' then
                    raise exception 'it answered %', v_said using errcode = 'SR500';
                end if;
                v_step := 'finish_sms_attempt';
                select f.status into v_said
                from public.finish_sms_attempt(
                    retry_id => v_claim.id, claim_no => v_claim.claim_no, attempt_id => v_attempt_id,
                    outcome => case v_end when 'failed' then 'rejected' else 'accepted' end, next_status => v_end,
                    error => case v_end when 'failed' then 'Rehearsal' end,
                    twilio_sid => case v_end when 'completed' then 'SM' || replace(v_attempt_id::text, '-', '') end) f
                where f.applied;
                if v_said is distinct from v_end then
                    raise exception 'the text did not end %', v_end using errcode = 'SR500';
                end if;
            end if;
            v_step := null;
            raise exception 'rolled back' using errcode = 'SR000';
        exception when others then
            get stacked diagnostics v_state = returned_sqlstate, v_message = message_text;
        end;
        if v_step is not null then
            -- No text to try with, or somebody else's lock: nothing is known to be wrong.
            ok := v_state in ('SR000', '55P03', '40P01');
            advice := case when ok then 'could not be tried: ' else 'fails: ' end || v_step || ' (' || v_state || '): '
                || left(v_message, 300)
                || case when v_state = '42501' then '. A grant is missing: run `smsretry migrate --again`' else '' end;
            exit;
        end if;
    end loop;
    ok := coalesce(ok, true);
    return next;
    if not ok then
        return;
    end if;

    begin
        v_step := 'making its send log';
        v_log_id := smsretry.sample_text();
        select * into v_log from public.send_logs l where l.id = v_log_id;
        perform smsretry.make_send_log(
            gen_random_uuid(), coalesce(v_log.business_id, gen_random_uuid()), coalesce(v_log.customer_id, gen_random_uuid()),
            'Rehearsal of a scheduled send', smsretry.clock());
        if v_log.id is null then
            raise exception 'there is nobody to plan it for' using errcode = 'SR000';
        end if;
        v_step := 'schedule_sms';
        select s.scheduled_id into v_retry_id
        from public.schedule_sms(
            v_log.business_id, v_log.customer_id, 'Rehearsal of a scheduled send', smsretry.clock()) s;
        v_step := 'queue_scheduled_sms';
        select q.result || coalesce(': ' || q.why, '') into v_said
        from public.scheduled_sends s cross join lateral smsretry.queue_scheduled(s, smsretry.clock(), null) q
        where s.id = v_retry_id;
        if v_said is distinct from 'queued' then
            raise exception 'it answered %', v_said using errcode = 'SR500';
        end if;
        v_step := null;
        raise exception 'rolled back' using errcode = 'SR000';
    exception when others then
        get stacked diagnostics v_state = returned_sqlstate, v_message = message_text;
    end;
    -- Another text of the same customer may break a rule of the application's that none breaks alone. A customer who is made
    -- up breaks foreign keys, and whatever triggers ask; then only what any row would break is told.
    if v_step is not null and v_state not in ('SR000', '55P03', '40P01', '23505')
        and (v_log.id is not null or v_state in ('23502', '23514', '428C9')) then
        subject := 'rehearsal of a scheduled send';
        advice := 'fails: ' || v_step || ' (' || v_state || '): ' || left(v_message, 300) || case v_step
            when 'schedule_sms' then '. What the application inserts by itself is queued; for the call, give what is named a default'
            else '. Until that is mended, scheduled sends are held and become no texts: give what is named a default, or look '
                || 'at the rules and triggers of send_logs and scheduled_sends' end;
        return next;
    end if;
end
$$;

revoke all on function public.try_sms_retry_queue from public, anon, authenticated;
grant execute on function public.try_sms_retry_queue to service_role;
