-- For a person, when the database was restored from a backup, and before anything runs: what went out after the backup was
-- taken (since) looks unsent. Put it in doubt, so that it is looked for at Twilio before it is sent again.
-- Concerned is what was in the backup and was due by now: texts that waited, texts that were claimed, and those in doubt,
-- which may have been sent again since. Scheduled sends whose time has come are made texts first. What was begun when the
-- backup was taken is in doubt by recovery.
-- Claim numbers leap, so that no worker from before the restore can write. May be repeated, and must be while it matches
-- row_limit. dry_run and the answer: as for requeue_failed_sms.
create or replace function public.doubt_sms_retries(
    since timestamptz,
    dry_run boolean default true,
    who text default null,
    because text default null,
    row_limit integer default 1000
)
returns table (matched integer, changed integer, skipped jsonb, warned jsonb, sample jsonb)
language plpgsql security invoker set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
declare
    v_now constant timestamptz := smsretry.clock();
    v_row public.sms_retry_queue;
    v_skip text;
    v_told jsonb[] := '{}';
begin
    if (doubt_sms_retries.since <= v_now and doubt_sms_retries.dry_run is not null
        and doubt_sms_retries.row_limit between 1 and 10000) is not true then
        raise exception 'since is when the backup was taken, and not to come; row_limit is 1 to 10000' using errcode = 'SR422';
    end if;
    if not doubt_sms_retries.dry_run then
        perform smsretry.check_told(doubt_sms_retries.who, doubt_sms_retries.because);
        loop
            perform public.queue_scheduled_sms(500, interval '0');
            exit when not found;
        end loop;
    end if;
    for v_row in
        select q.* from public.sms_retry_queue q
        where q.status in ('pending', 'processing') and q.begun_at is null
          and (q.created_at < doubt_sms_retries.since
               or exists (select 1 from public.scheduled_sends s
                          where s.send_log_id = q.send_log_id and s.created_at < doubt_sms_retries.since))
          and (q.scheduled_for <= v_now or q.in_doubt_since is not null or q.status = 'processing')
          and (q.in_doubt_since is null or q.in_doubt_since < doubt_sms_retries.since)
        order by q.scheduled_for, q.id
        limit doubt_sms_retries.row_limit
        for update
    loop
        v_skip := case
            when v_row.status = 'processing' and v_row.claimed_at > doubt_sms_retries.since
                then 'A worker has it at this moment: stop every runner first'
            when v_row.in_doubt_since is null and not exists (
                select 1 from public.customers c where c.id = v_row.customer_id and coalesce(btrim(c.phone), '') <> '')
                then 'Nobody can have texted a customer without a number'
            when exists (select 1 from public.send_logs l where l.id = v_row.send_log_id
                         and smsretry.is_sent(l.provider_message_id, l.status::text)) then 'Its send log says that it was sent'
        end;
        v_told := v_told || jsonb_build_object(
            'retry_id', v_row.id, 'business_id', v_row.business_id, 'customer_id', v_row.customer_id,
            'number', smsretry.masked((select c.phone from public.customers c where c.id = v_row.customer_id)),
            'message_class', v_row.message_class, 'attempts', v_row.attempt_count,
            'was', smsretry.numberless(coalesce(v_row.why, v_row.last_error)), 'skipped', v_skip, 'warned', null);
        if doubt_sms_retries.dry_run or v_skip is not null then
            continue;
        end if;
        perform smsretry.doubt(v_row, doubt_sms_retries.since, v_now);
        insert into smsretry.steps (retry_id, taken_at, step, who, because)
        values (v_row.id, v_now, 'put in doubt', doubt_sms_retries.who, doubt_sms_retries.because);
    end loop;
    return query select * from smsretry.told_of_change(v_told);
end
$$;

revoke all on function public.doubt_sms_retries from public, anon, authenticated;
grant execute on function public.doubt_sms_retries to service_role;
