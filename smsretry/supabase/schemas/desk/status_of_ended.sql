-- Count for sms_status what failed or was cancelled since then, by reason, the most texts first.
--   why: of most of them
create or replace function smsretry.status_of_ended(since timestamptz)
returns table (state text, why_code text, why text, texts bigint)
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
begin
    return query
    select
        e.status,
        e.why_code::text,
        smsretry.numberless(mode() within group (order by left(e.why, 200))),
        count(*)
    from (
        select q.status, q.why_code, q.last_error as why
        from public.sms_retry_queue q
        where q.status in ('failed', 'cancelled')
          and q.updated_at >= status_of_ended.since
        union all
        select s.status, s.why_code, s.why
        from public.scheduled_sends s
        where s.send_log_id is null
          and s.status in ('failed', 'cancelled')
          and s.updated_at >= status_of_ended.since
    ) e
    group by e.status, e.why_code
    order by e.status desc, count(*) desc;
end
$$;
