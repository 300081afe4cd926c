-- For a person, when the database was restored from a backup, and before anything runs: what went out after the backup was
-- taken (since) looks unsent. Put it in doubt, so that it is looked for at Twilio before it is sent again.
-- Concerned is what was in the backup and was due by now: texts that waited, texts that were claimed, and those in doubt,
-- which may have been sent again since. Scheduled sends whose time has come are made texts first, row_limit of them a call
-- and 500 at the most; those that are none yet are named as left alone. What was begun when the backup was taken is in doubt
-- by recovery.
-- Claim numbers leap, so that no worker from before the restore can write. May be repeated, and must be until it changes
-- none and names no scheduled send. What it leaves alone comes last, and so in nobody's way. life: see smsretry.doubt.
-- dry_run and the answer: as for requeue_failed_sms.
create or replace function public.doubt_sms_retries(
    since timestamptz,
    dry_run boolean default true,
    who text default null,
    because text default null,
    row_limit integer default 1000,
    life interval default '48 hours'
)
returns table (matched integer, changed integer, skipped jsonb, warned jsonb, sample jsonb)
language plpgsql security invoker set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
declare
    v_now constant timestamptz := smsretry.clock();
    v_found record;
    v_row public.sms_retry_queue;
    v_send public.scheduled_sends;
    v_told jsonb[] := '{}';
begin
    if (doubt_sms_retries.since <= v_now and doubt_sms_retries.dry_run is not null
        and doubt_sms_retries.row_limit between 1 and 10000) is not true then
        raise exception 'since is when the backup was taken, and not to come; row_limit is 1 to 10000' using errcode = 'SR422';
    end if;
    if not doubt_sms_retries.dry_run then
        perform smsretry.check_told(doubt_sms_retries.who, doubt_sms_retries.because);
        perform public.queue_scheduled_sms(doubt_sms_retries.row_limit, interval '0', doubt_sms_retries.life);
        if not found then -- only held ones are left, and what they wait for may be mended by now
            update smsretry.held_sends h set look_at = v_now where h.look_at > v_now;
            for v_send in
                select s.* from public.scheduled_sends s
                where s.status = 'scheduled' and s.held_since is not null and s.scheduled_for <= v_now and s.look_at > v_now
                order by s.scheduled_for, s.id
                limit doubt_sms_retries.row_limit
            loop
                begin
                    update public.scheduled_sends s set look_at = v_now where s.id = v_send.id;
                exception when others then
                    null; -- it is named below
                end;
            end loop;
            perform public.queue_scheduled_sms(doubt_sms_retries.row_limit, interval '0', doubt_sms_retries.life);
        end if;
    end if;
    for v_found in
        select q.id, k.skip
        from public.sms_retry_queue q
        cross join lateral (select case
            when q.status = 'processing' and q.claimed_at > doubt_sms_retries.since
                then 'A worker has it at this moment: stop every runner first'
            when q.in_doubt_since is null and not exists (
                select 1 from public.customers c where c.id = q.customer_id and coalesce(btrim(c.phone), '') <> '')
                then 'Nobody can have texted a customer without a number'
            when exists (select 1 from public.send_logs l where l.id = q.send_log_id
                         and smsretry.is_sent(l.provider_message_id, l.status::text)) then 'Its send log says that it was sent'
        end) as k (skip)
        where q.status in ('pending', 'processing') and q.begun_at is null
          and (q.created_at < doubt_sms_retries.since
               or exists (select 1 from public.scheduled_sends s
                          where s.send_log_id = q.send_log_id and s.created_at < doubt_sms_retries.since))
          and (q.scheduled_for <= v_now or q.in_doubt_since is not null or q.status = 'processing')
          and (q.in_doubt_since is null or q.in_doubt_since < doubt_sms_retries.since)
        order by k.skip is not null, q.scheduled_for, q.id
        limit doubt_sms_retries.row_limit
        for update of q
    loop
        select * into v_row from public.sms_retry_queue q where q.id = v_found.id;
        if not doubt_sms_retries.dry_run and v_found.skip is null then
            begin
                perform smsretry.doubt(v_row, doubt_sms_retries.since, v_now, doubt_sms_retries.life);
                if not exists (select 1 from public.sms_retry_queue q where q.id = v_row.id and q.in_doubt_since = v_now) then
                    raise exception 'Row % stays as it is', v_row.id using errcode = 'SR409';
                end if;
                insert into smsretry.steps (retry_id, taken_at, step, who, because)
                values (v_row.id, v_now, 'put in doubt', doubt_sms_retries.who, doubt_sms_retries.because);
                set constraints all immediate; -- what is only asked at the end would undo the others, too
            exception
                when no_data_found then
                    raise; -- the key of the hashed numbers is gone: that concerns all
                when others then
                    v_found.skip := 'A trigger or a rule refuses to have it changed (' || sqlstate || ')';
            end;
        end if;
        v_told := v_told || jsonb_build_object(
            'retry_id', v_row.id, 'business_id', v_row.business_id, 'customer_id', v_row.customer_id,
            'number', smsretry.masked((select c.phone from public.customers c where c.id = v_row.customer_id)),
            'message_class', v_row.message_class, 'attempts', v_row.attempt_count,
            'was', smsretry.numberless(coalesce(v_row.why, v_row.last_error)), 'skipped', v_found.skip, 'warned', null);
    end loop;
    for v_send in
        select s.* from public.scheduled_sends s
        where s.status = 'scheduled' and s.scheduled_for <= v_now and s.created_at < doubt_sms_retries.since
        order by s.scheduled_for, s.id
        limit doubt_sms_retries.row_limit - cardinality(v_told)
    loop
        v_told := v_told || jsonb_build_object(
            'retry_id', v_send.id, 'business_id', v_send.business_id, 'customer_id', v_send.customer_id,
            'number', smsretry.masked((select c.phone from public.customers c where c.id = v_send.customer_id)),
            'message_class', case v_send.message_class when 'transactional' then 'transactional' else 'marketing' end,
            'attempts', 0, 'was', smsretry.numberless(v_send.why), 'warned', null, 'skipped', case
                when doubt_sms_retries.dry_run then 'A scheduled send, which is made a text first'
                when v_send.held_since is not null
                    or exists (select 1 from smsretry.held_sends h where h.scheduled_id = v_send.id)
                    then 'A scheduled send that cannot be made a text: mend what explain_sms says of it, and call again '
                        || 'before anything runs'
                else 'A scheduled send that is no text yet: call again'
            end);
    end loop;
    return query select * from smsretry.told_of_change(v_told);
end
$$;

revoke all on function public.doubt_sms_retries from public, anon, authenticated;
grant execute on function public.doubt_sms_retries to service_role;
