-- Record a restore that no run can notice (start_sms_run), for the person who restored
-- the backup, before anything runs. May be repeated.
--   since: when the backup was taken
--   dry_run: true: nothing is recorded
--   matched, changed: the texts that wait, and were older. The answer has the columns of
--     change_sms_texts
create or replace function public.after_sms_restore(
    since timestamptz,
    dry_run boolean default true,
    who text default null,
    because text default null
)
returns table (matched integer, changed integer, skipped jsonb, sample jsonb)
language plpgsql set search_path = pg_catalog, pg_temp
as $$
begin
    if (
        since <= smsretry.clock()
        and dry_run is not null
    ) is not true
    then
        raise exception 'since must be when the backup was taken, which is not in the future'
            using errcode = 'SR422';
    end if;
    if not dry_run then
        perform smsretry.check_who_and_why(
            who,
            because
        );
        perform smsretry.note_event(null, 'restore_reported', who, because);
        perform smsretry.record_restore(
            since,
            who,
            because
        );
    end if;
    select count(*), count(*), '{}', '[]'
    into matched, changed, skipped, sample
    from public.sms_retry_queue q
    where q.status in ('pending', 'processing');
    return next;
end
$$;
