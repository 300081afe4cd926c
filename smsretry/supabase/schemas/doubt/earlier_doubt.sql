-- The last send of this text, by any of its rows, that may have gone out; nulls: there is none. Evidence of it is looked for
-- before the text is sent. One that is under way is not in doubt yet. plpgsql keeps its plan: each insert calls this, and each
-- begin of a row that was claimed before.
--   since: when it came into doubt · why: what the row says meanwhile
create or replace function smsretry.earlier_doubt(
    send_log_id uuid, business_id uuid, out attempt_id uuid, out since timestamptz, out why text
)
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
begin
    select a.id, coalesce(a.finished_at, a.begun_at) into attempt_id, since
    from public.sms_send_attempts a
    -- An array, so that an index finds them without statistics.
    where a.retry_id = any (array(
            select q.id from public.sms_retry_queue q
            where q.send_log_id = earlier_doubt.send_log_id and q.business_id = earlier_doubt.business_id
              and q.begun_at is null))
      and coalesce(a.outcome, 'in_doubt') = 'in_doubt'
    order by a.begun_at desc limit 1;
    if found then
        why := 'An earlier send of this text may have gone out: it is looked for before another one leaves';
    end if;
end
$$;
