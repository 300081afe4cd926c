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
