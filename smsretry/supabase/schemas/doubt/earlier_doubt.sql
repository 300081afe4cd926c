-- Find the last send of this text, by any of its rows, that may have gone out, and since when it is
-- in doubt. Nulls: there is none. One that is under way is not in doubt yet. In plpgsql, which
-- keeps its plan: each insert calls this.
create or replace function smsretry.earlier_doubt(
    send_log_id uuid,
    business_id uuid,
    out attempt_id uuid,
    out since timestamptz
)
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
begin
    select a.id, coalesce(a.finished_at, a.begun_at)
    into attempt_id, since
    from public.sms_send_attempts a
    -- An array, so that an index finds them without statistics.
    where a.retry_id = any (
        array(
            select q.id
            from public.sms_retry_queue q
            where q.send_log_id = earlier_doubt.send_log_id
              and q.business_id = earlier_doubt.business_id
              and q.begun_at is null
        )
    )
      and coalesce(a.outcome, 'in_doubt') = 'in_doubt'
    order by a.begun_at desc
    limit 1;
end
$$;
