-- sms_status: what the database is marked as (mark: staging or production; told: its address), whom the last run's worker
-- texts, unless everybody (runner: listed or nobody), and what keeps texts if the two disagree (stopped: sending).
create or replace function smsretry.status_of_mark()
returns setof jsonb language plpgsql stable set search_path = pg_catalog, pg_temp as $$
begin
    return query
    select jsonb_build_object('part', 'mark', 'name', m.kind, 'oldest', m.marked_at, 'told', m.address) from smsretry.mark m;
    return query
    select jsonb_build_object('oldest', r.started_at) || l.line
    from (select u.* from smsretry.runs u order by u.started_at desc limit 1) r
    cross join lateral (
        select jsonb_build_object('part', 'runner', 'name', r.send_to) as line where r.send_to <> 'all'
        union all
        select jsonb_build_object('part', 'stopped', 'name', 'sending', 'told', m.told, 'why_code', 'mark_mismatch')
        from smsretry.mark_mismatch(r.send_to, r.address) m (told) where m.told is not null) l;
end
$$;
