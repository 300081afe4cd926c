-- Answer an uptime monitor: 'ok …', or an error that PostgREST answers with HTTP 503. It fails if
-- texts are overdue, queued or not, words unread for three days, sending or a sender stopped
-- (smsretry.stopped), the database was restored (smsretry.late_since), or no run finished within
-- max_minutes (null: smsretry.late_after). Volatile although it only reads: a HEAD request has
-- PostgREST count rows, and PostgreSQL would not call a stable function for that. security definer,
-- so that a role that may do nothing else may call it: it returns only numbers.
create or replace function public.check_sms_retries(
    max_minutes integer default null
)
returns text
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_custom_plan as $$
declare
    v_now constant timestamptz := smsretry.clock();
    v_since constant timestamptz := v_now - case
        when max_minutes is null then smsretry.late_after()
        else make_interval(mins => greatest(max_minutes, 1))
    end;
    v_stopped text;
    v_problem text;
begin
    select case
        when bool_or(x.kind = 'everybody') then 'sending is stopped: '
        else 'stopped senders (' || count(*) || '): '
    end || (array_agg(x.why order by x.kind, x.since))[1]
    into v_stopped
    from smsretry.stopped x
    where x.kind in ('everybody', 'sender');
    select concat_ws(
        ' · ',
        string_agg(
            concat_ws(
                ' ',
                case l.name
                    when 'due' then 'overdue texts:'
                    when 'restored'
                        then 'the database was restored from a backup and knows nothing'
                    when 'scheduled' then 'scheduled sends overdue and not queued:'
                    when 'words'
                        then 'people who wrote what may mean stop, unread:'
                    else 'no run has finished'
                end,
                l.texts,
                coalesce(
                    'since '
                        || to_char(
                            l.oldest at time zone 'UTC',
                            'YYYY-MM-DD HH24:MI'
                        ) || ' UTC',
                    'in 7 days'
                )
            ),
            ' · '
            order by l.name
        ),
        v_stopped
    )
    into v_problem
    from smsretry.late_since(v_since) l;
    if v_problem <> '' then
        raise exception '%', v_problem
            using errcode = 'PT503',
                  hint = 'Run `smsretry status`, then `smsretry doctor`.';
    end if;
    return 'ok, '
        || coalesce(
            (
                select 'last run finished '
                    || to_char(
                        max(r.finished_at) at time zone 'UTC',
                        'YYYY-MM-DD HH24:MI:SS'
                    ) || ' UTC'
                from smsretry.runs r
                where r.started_at > v_now - interval '7 days'
            ),
            'the first run is under way'
        );
end
$$;
