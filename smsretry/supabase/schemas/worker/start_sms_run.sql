-- Begin a run, which names the default sender (account, sender): that of every business without its
-- own. May be repeated, and then returns nothing. It returns a row for
--   each earlier run that never finished, once, with what its sends came to
--   the run after which the database was restored, with restored_since, if the caller's memory
--     shows that
-- Parameters that do not speak for themselves:
--   stale_minutes: after how long a silent run counts as interrupted; null: none does
--   send_to, address: as for begin_sms_attempt
--   earlier: the last runs that this database accepted, as the caller remembers them (id, and as
--     for smsretry.notice_restore due_at and finished); null: nobody can say which
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
    return query
    select
        e.id,
        e.due_at,
        0::bigint,
        0::bigint,
        0::bigint,
        n.since
    from (
        select *
        from jsonb_to_recordset(start_sms_run.earlier)
            r (id uuid, due_at timestamptz, finished boolean)
        order by r.due_at
    ) e
    cross join lateral smsretry.notice_restore(
        e.id,
        e.due_at,
        start_sms_run.send_to,
        e.finished
    ) n (since)
    where n.since is not null;
    insert into smsretry.runs (id, started_at, send_to, address, sends_since)
    select
        start_sms_run.run_id,
        v_now,
        start_sms_run.send_to,
        left(start_sms_run.address, 300),
        case
            when start_sms_run.earlier is null
                -- A restore takes longer: whatever it brought back is older.
                then greatest(max(r.started_at), v_now - interval '2 minutes')
        end
    from smsretry.runs r
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
