-- For a person: cancel waiting texts, and scheduled sends that are not queued yet. A text that is under way or in doubt is
-- left alone. states: scheduled, or as smsretry.text_state; null: all. The rest: as requeue_failed_sms.
create or replace function public.cancel_sms_retries(
    retry_ids uuid[] default null, business_id uuid default null, customer_id uuid default null, code integer default null,
    reason text default null, containing text default null, since timestamptz default null, until timestamptz default null,
    states text[] default null, dry_run boolean default true, who text default null, because text default null,
    row_limit integer default 1000, why_code text default null
)
returns table (matched integer, changed integer, skipped jsonb, warned jsonb, sample jsonb)
language plpgsql security invoker set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_variable
declare
    v_now constant timestamptz := smsretry.clock();
    v_why constant text := 'Cancelled by ' || who || ': ' || because;
    v_row public.sms_retry_queue;
    v_skip text;
    v_rows jsonb[] := '{}';
begin
    if (dry_run is not null and row_limit between 1 and 10000
        and coalesce(states, '{}') <@ array['scheduled', 'due', 'waiting', 'held', 'under_way', 'in_doubt']) is not true then
        raise exception 'states are scheduled, due, waiting, held, under_way or in_doubt, row_limit 1 to 10000' using errcode = 'SR422';
    end if;
    if not dry_run then
        perform smsretry.check_who_and_why(who, because);
    end if;
    for v_row in
        select c.* from smsretry.chosen(
            array['pending', 'processing'], retry_ids, business_id, customer_id, code, reason, containing, since, until,
            why_code) c
        where states is null or smsretry.text_state(c, v_now) = any (states)
        limit row_limit
    loop
        select * into v_row from public.sms_retry_queue q where q.id = v_row.id for update;
        v_skip := case
            when v_row.status not in ('pending', 'processing') then 'It has changed meanwhile'
            when v_row.in_doubt_since is not null then 'It is unknown whether it went out: evidence is looked for'
            when v_row.status = 'processing' then 'A worker has it at this moment'
        end;
        v_rows := v_rows || smsretry.change_of_row(v_row, coalesce(v_row.why, v_row.last_error), v_skip);
        continue when dry_run or v_skip is not null;
        perform smsretry.close_row(v_row, 'cancelled', v_why, 'operator', null, v_now);
        perform smsretry.note_event(v_row.id, 'cancelled', who, because);
    end loop;
    if coalesce('scheduled' = any (states), true) and num_nonnulls(code, reason) = 0 then
        v_rows := v_rows || smsretry.cancel_scheduled(
            retry_ids, business_id, customer_id, nullif(btrim(containing), ''), since, until,
            row_limit - cardinality(v_rows), dry_run, why_code, v_why);
    end if;
    if cardinality(v_rows) < row_limit then
        v_rows := v_rows || smsretry.left_out(retry_ids, v_rows, true, states, v_now);
    end if;
    return query select * from smsretry.change_summary(v_rows);
end
$$;
