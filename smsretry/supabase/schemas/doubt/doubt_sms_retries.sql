-- For a person, after restoring a backup and before anything runs: what went out after the backup was taken (since) looks
-- unsent. Records the restore; from then on each older text is looked for at the provider before its next message leaves
-- (smsretry.forgotten). Puts what is due in doubt at once, row_limit texts a call, those that were claimed or in doubt
-- first. What was begun when the backup was taken comes into doubt by recovery. Repeat it until it changes none.
-- life: how long a text is of use from when it was due, or from since if that is later, if nothing has said so; null: its
-- first look says so. dry_run and the answer: as for requeue_failed_sms.
create or replace function public.doubt_sms_retries(
    since timestamptz, dry_run boolean default true, who text default null, because text default null,
    row_limit integer default 1000, life interval default null
)
returns table (matched integer, changed integer, skipped jsonb, warned jsonb, sample jsonb)
language plpgsql security invoker set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
declare
    v_now constant timestamptz := smsretry.clock();
    v_restored_at timestamptz;
    v_found record;
    v_row public.sms_retry_queue;
    v_rows jsonb[] := '{}';
begin
    if (doubt_sms_retries.since <= v_now and dry_run is not null and row_limit between 1 and 10000) is not true then
        raise exception 'since is when the backup was taken, and not to come; row_limit is 1 to 10000' using errcode = 'SR422';
    end if;
    if not dry_run then
        perform smsretry.check_who_and_why(doubt_sms_retries.who, doubt_sms_retries.because);
        insert into smsretry.restores (since, restored_at, who, because)
        values (doubt_sms_retries.since, v_now, doubt_sms_retries.who, doubt_sms_retries.because)
        on conflict (since) do nothing;
    end if;
    v_restored_at := coalesce((select r.restored_at from smsretry.restores r where r.since = doubt_sms_retries.since), v_now);
    for v_found in select * from smsretry.forgotten_candidates(doubt_sms_retries.since, v_restored_at, row_limit, v_now) loop
        select * into v_row from public.sms_retry_queue q where q.id = v_found.id;
        continue when v_row.status not in ('pending', 'processing'); -- it has ended meanwhile
        if not dry_run and v_found.skip is null then
            begin
                v_row.expires_at := coalesce(v_row.expires_at, greatest(doubt_sms_retries.since, v_row.scheduled_for) + life);
                perform smsretry.doubt(
                    v_row, doubt_sms_retries.since, v_now, doubt_sms_retries.who, doubt_sms_retries.because, v_now);
                if not exists (select 1 from public.sms_retry_queue q where q.id = v_row.id and q.in_doubt_since = v_now) then
                    raise exception 'Row % stays as it is', v_row.id using errcode = 'SR409';
                end if;
                set constraints all immediate; -- a deferred check would undo the others, too
            exception
                when no_data_found then
                    raise; -- the key of the hashed numbers is gone: that concerns all
                when others then
                    v_found.skip := 'A trigger or a rule refuses to have it changed (' || sqlstate || ')';
            end;
        end if;
        v_rows := v_rows || smsretry.change_of_row(v_row, coalesce(v_row.why, v_row.last_error), v_found.skip);
    end loop;
    return query select * from smsretry.change_summary(v_rows);
end
$$;
