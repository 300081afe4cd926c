-- For a person: what texts wait for is fixed, so that the next run looks at them now, and not in some minutes. Held texts and
-- those whose wait is only until the next look (smsretry.not_looked_at). Nothing else about them changes: every check is made
-- anew, and their life goes on. Nothing changes without dry_run => false. The rest: as requeue_failed_sms.
create or replace function public.look_again_sms(
    retry_ids uuid[] default null, business_id uuid default null, customer_id uuid default null, code integer default null,
    reason text default null, containing text default null, since timestamptz default null, until timestamptz default null,
    dry_run boolean default true, who text default null, because text default null, row_limit integer default 1000,
    why_code text default null
)
returns table (matched integer, changed integer, skipped jsonb, warned jsonb, sample jsonb)
language plpgsql security invoker set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_variable
declare
    v_now constant timestamptz := smsretry.clock();
    v_row public.sms_retry_queue;
    v_skip text;
    v_rows jsonb[] := '{}';
begin
    if (dry_run is not null and row_limit between 1 and 10000) is not true then
        raise exception 'dry_run must be given, and row_limit be 1 to 10000' using errcode = 'SR422';
    end if;
    if not dry_run then
        perform smsretry.check_who_and_why(who, because);
    end if;
    for v_row in
        select c.* from smsretry.chosen(
            array['pending', 'processing'], retry_ids, business_id, customer_id, code, reason, containing, since, until,
            why_code) c
        -- Only those that somebody named are told why they are left alone.
        where retry_ids is not null or smsretry.not_looked_at(c, v_now) is null
        limit row_limit
    loop
        select * into v_row from public.sms_retry_queue q where q.id = v_row.id for update;
        v_skip := smsretry.not_looked_at(v_row, v_now);
        v_rows := v_rows || smsretry.change_of_row(v_row, coalesce(v_row.why, v_row.last_error), v_skip);
        continue when dry_run or v_skip is not null;
        -- Told as what was, so that nobody takes the old reason for a new one.
        v_row.why := coalesce(
            case when v_row.held_since is not null then 'It was held: ' else 'It waited: ' end
                || left(coalesce(v_row.why, v_row.last_error), 1000) || '. ', '')
            || 'Looked at again by ' || who || ': ' || because;
        if v_row.in_doubt_since is null then -- a doubt stays held: a person is still to decide about it
            v_row.held_since := null;
            v_row.why_code := 'operator';
        end if;
        perform smsretry.put_back(v_row, v_now, v_now);
        perform smsretry.note_event(v_row.id, 'looked_again', who, because);
    end loop;
    if cardinality(v_rows) < row_limit then
        v_rows := v_rows || smsretry.left_out(retry_ids, v_rows, true, null, v_now);
    end if;
    return query select * from smsretry.change_summary(v_rows);
end
$$;
