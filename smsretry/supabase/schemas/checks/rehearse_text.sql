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
        raise exception 'there is no text to try it with: the tables refuse a new one (columns that need a value?), and none '
            'is there that is unsent and does not wait' using errcode = 'SR000';
    end if;
    step := 'queue_sms_retry';
    select q.retry_id, q.result into v_retry_id, v_answer from public.queue_sms_retry(v_log.id) q;
    if v_answer <> 'queued' then
        raise exception 'it answered %', v_answer using errcode = 'SR500';
    end if;
    if ends = 'cancelled' then
        step := 'record_sms_consent';
        select s.cancelled::text into v_answer
        from public.customers c
        cross join lateral public.record_sms_consent(c.phone, 'opted_out', 'inbound_stop', v_log.business_id) s
        where c.id = v_log.customer_id;
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
            send_before => smsretry.clock() + interval '1 hour', quiet_hours_rule => 'rehearsal',
            send_to => 'listed', listed => true) b; -- or a mark would answer
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
