-- For a person, after restoring a backup and before anything runs: what went out after the backup was taken (since) looks unsent.
-- Records the restore. From then on each older text is looked for at the provider before its next message leaves (one rule, asked
-- when a send is to begin: smsretry.forgotten), and claims have numbers that no worker from before the restore holds. May be repeated.
-- matched, changed: the texts that wait, and were older. Nothing is recorded without dry_run => false; the answer is that of
-- change_sms_texts.
create or replace function public.doubt_sms_retries(
    since timestamptz, dry_run boolean default true, who text default null, because text default null
)
returns table (matched integer, changed integer, skipped jsonb, sample jsonb)
language plpgsql security invoker set search_path = pg_catalog, pg_temp as $$
declare
    v_now constant timestamptz := smsretry.clock();
begin
    if (doubt_sms_retries.since <= v_now and dry_run is not null) is not true then
        raise exception 'since is when the backup was taken, and not to come' using errcode = 'SR422';
    end if;
    if not dry_run then
        perform smsretry.check_who_and_why(doubt_sms_retries.who, doubt_sms_retries.because);
        insert into smsretry.restores (since, restored_at, who, because)
        values (doubt_sms_retries.since, v_now, doubt_sms_retries.who, doubt_sms_retries.because)
        on conflict do nothing;
        update public.sms_retry_queue q -- its message may be one of the time that is forgotten
        set in_doubt_since = v_now, reconcile_count = 0, held_since = null, scheduled_for = v_now, updated_at = v_now
        where q.status = 'pending' and q.in_doubt_since < doubt_sms_retries.since;
    end if;
    select count(*), count(*), '{}', '[]' into matched, changed, skipped, sample
    from public.sms_retry_queue q where q.status in ('pending', 'processing');
    return next;
end
$$;
