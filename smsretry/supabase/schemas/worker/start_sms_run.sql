-- Begin a run, which names the default sender (account, sender): that of every business without its
-- own. May be repeated, and then returns nothing. It returns a row for
--   each earlier run that never finished, once, with what its sends came to
--   the run after which the database was restored, with restored_since, if the caller's memory
--     shows that
-- Parameters that do not speak for themselves:
--   stale_minutes: after how long a silent run counts as interrupted; null: none does
--   send_to, address: as for begin_sms_attempt
--   earlier: the last runs that this database accepted, as the caller remembers them: id, due_at (when
--     it was to begin), and finished: whether its end was accepted, too. A database that knows one of
--     them no longer was restored. One that knows no earlier run at all is another one, or has pruned
--     them; and that of a worker who does not text everybody is often a fresh copy
create or replace function public.start_sms_run(
    run_id uuid,
    stale_minutes integer default null,
    send_to text default null,
    address text default null,
    account text default null,
    sender text default null,
    earlier jsonb default '[]'
)
returns table (
    id uuid,
    started_at timestamptz,
    accepted bigint,
    in_doubt bigint,
    refused bigint,
    restored_since timestamptz
)
language plpgsql set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    v_now constant timestamptz := smsretry.clock();
begin
    perform smsretry.analyze_filled();
    for id, started_at, restored_since in
        select e.id, e.due_at, k.since
        from jsonb_to_recordset(earlier) e (id uuid, due_at timestamptz, finished boolean)
        cross join lateral (
            -- The latest moment on record before it: the backup was taken no earlier.
            select least(max(greatest(r.started_at, r.finished_at)), e.due_at, v_now) as since
            from smsretry.runs r
            where r.started_at < least(e.due_at, v_now)
            having count(*) > 0
        ) k
        where coalesce(send_to, 'all') = 'all'
          and not exists (
              select from smsretry.runs r
              where r.id = e.id and (r.finished_at is not null or not e.finished)
          )
        order by e.due_at
    loop
        if smsretry.record_restore(restored_since, 'smsretry', 'It has forgotten a run', id) then
            accepted := 0;
            in_doubt := 0;
            refused := 0;
            return next;
        end if;
    end loop;
    insert into smsretry.runs (id, started_at, send_to, address)
    values (run_id, v_now, start_sms_run.send_to, left(start_sms_run.address, 300))
    on conflict
    do nothing;
    insert into smsretry.senders (account, sent_by, named_at)
    select
        start_sms_run.account,
        start_sms_run.sender,
        v_now
    where start_sms_run.account <> start_sms_run.sender
    on conflict on constraint senders_one
    do update set named_at = excluded.named_at;
    update smsretry.senders s
    set free_at = null
    where s.free_at > v_now + interval '1 hour'; -- the clock was set back
    return query
    with silent as (
        update smsretry.runs r
        set interrupted_at = v_now
        where r.id = any (
            array(
                select u.id
                from smsretry.runs u
                where u.finished_at is null
                  and u.interrupted_at is null
                  and start_sms_run.stale_minutes is not null
                  and u.started_at < v_now - make_interval(
                      mins => greatest(start_sms_run.stale_minutes, 1)
                  )
                order by u.started_at
                limit 20
                for update skip locked
            )
        )
        returning r.id, r.started_at
    )
    select
        s.id,
        s.started_at,
        count(*) filter (where a.outcome = 'accepted'),
        count(*) filter (
            where a.id is not null
              and coalesce(a.outcome, 'in_doubt') = 'in_doubt'
        ),
        count(*) filter (where a.outcome in ('rejected', 'not_sent')),
        null::timestamptz
    from silent s
    left join public.sms_send_attempts a
        on a.run_id = s.id
          and a.begun_at between s.started_at and s.started_at + interval '1 day'
    group by s.id, s.started_at
    order by s.started_at;
end
$$;
