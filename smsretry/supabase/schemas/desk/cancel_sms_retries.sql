-- For a person: end texts that wait, as no longer wanted, and scheduled sends that are no texts yet. One that is under way or
-- in doubt is left alone: it may be with the customer already. states: scheduled, or as smsretry.text_state; null: all. Without dry_run => false nothing is changed. row_limit and the answer: as for requeue_failed_sms.
create or replace function public.cancel_sms_retries(
    retry_ids uuid[] default null,
    business_id uuid default null,
    customer_id uuid default null,
    code integer default null,
    reason text default null,
    containing text default null,
    since timestamptz default null,
    until timestamptz default null,
    states text[] default null,
    dry_run boolean default true,
    who text default null,
    because text default null,
    row_limit integer default 1000,
    why_code text default null
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
    if (cancel_sms_retries.dry_run is not null and cancel_sms_retries.row_limit between 1 and 10000
        and coalesce(cancel_sms_retries.states, '{}') <@ array['scheduled', 'due', 'waiting', 'held', 'under_way', 'in_doubt']) is not true then
        raise exception 'states are scheduled, due, waiting, held, under_way or in_doubt, row_limit 1 to 10000' using errcode = 'SR422';
    end if;
    if not cancel_sms_retries.dry_run then
        perform smsretry.check_told(cancel_sms_retries.who, cancel_sms_retries.because);
    end if;
    for v_row in
        select c.* from smsretry.chosen(
            array['pending', 'processing'], cancel_sms_retries.retry_ids, cancel_sms_retries.business_id,
            cancel_sms_retries.customer_id, cancel_sms_retries.code, cancel_sms_retries.reason,
            cancel_sms_retries.containing, cancel_sms_retries.since, cancel_sms_retries.until,
            cancel_sms_retries.why_code) c
        where cancel_sms_retries.states is null or smsretry.text_state(c, v_now) = any (cancel_sms_retries.states)
        limit cancel_sms_retries.row_limit
    loop
        select * into v_row from public.sms_retry_queue q where q.id = v_row.id for update;
        v_skip := case
            when v_row.status not in ('pending', 'processing') then 'It has changed meanwhile'
            when v_row.in_doubt_since is not null then 'It is unknown whether it went out: evidence is looked for'
            when v_row.status = 'processing' then 'A worker has it at this moment'
        end;
        v_told := v_told || (
            select jsonb_build_object(
                'retry_id', v_row.id, 'business_id', v_row.business_id, 'customer_id', v_row.customer_id,
                'number', smsretry.masked((select c.phone from public.customers c where c.id = v_row.customer_id)),
                'message_class', v_row.message_class, 'attempts', v_row.attempt_count,
                'was', smsretry.numberless(coalesce(v_row.why, v_row.last_error)), 'skipped', v_skip, 'warned', null));
        if cancel_sms_retries.dry_run or v_skip is not null then
            continue;
        end if;
        perform smsretry.close_row(
            v_row, 'cancelled', 'Cancelled by ' || cancel_sms_retries.who || ': ' || cancel_sms_retries.because, 'operator', null,
            v_now);
        insert into smsretry.steps (retry_id, taken_at, step, who, because)
        values (v_row.id, v_now, 'cancelled', cancel_sms_retries.who, cancel_sms_retries.because);
    end loop;
    if coalesce('scheduled' = any (cancel_sms_retries.states), true)
        and num_nonnulls(cancel_sms_retries.code, cancel_sms_retries.reason) = 0 then
        v_told := v_told || smsretry.cancel_scheduled(
            cancel_sms_retries.retry_ids, cancel_sms_retries.business_id, cancel_sms_retries.customer_id,
            nullif(btrim(cancel_sms_retries.containing), ''), cancel_sms_retries.since, cancel_sms_retries.until,
            cancel_sms_retries.row_limit - cardinality(v_told), cancel_sms_retries.dry_run,
            cancel_sms_retries.why_code, 'Cancelled by ' || cancel_sms_retries.who || ': ' || cancel_sms_retries.because);
    end if;
    return query select * from smsretry.told_of_change(v_told);
end
$$;

revoke all on function public.cancel_sms_retries from public, anon, authenticated;
grant execute on function public.cancel_sms_retries to service_role;
