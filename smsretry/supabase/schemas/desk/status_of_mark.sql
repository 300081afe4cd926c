-- sms_status: what the database is marked as (mark: staging or production; told: its address), whom the last run's worker
-- texts, unless everybody (runner: listed or nobody), and what keeps texts if the two disagree (stopped: sending).
create or replace function smsretry.status_of_mark()
returns table (part text, name text, business_id uuid, texts bigint, oldest timestamptz, next_at timestamptz, told text, why_code text)
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
begin
    return query
    select 'mark', m.kind, null::uuid, null::bigint, m.marked_at, null::timestamptz, m.address, null::text from smsretry.mark m;
    return query
    select l.part, l.name, null::uuid, null::bigint, r.started_at, null::timestamptz, l.told, l.why_code
    from (select u.* from smsretry.runs u order by u.started_at desc limit 1) r
    cross join lateral (
        values ('runner', r.send_to, null::text, null::text),
               ('stopped', 'sending', smsretry.mark_mismatch(r.send_to, r.address), 'mark_mismatch')
    ) l (part, name, told, why_code)
    where l.part = 'runner' and l.name <> 'all' or l.told is not null;
end
$$;
