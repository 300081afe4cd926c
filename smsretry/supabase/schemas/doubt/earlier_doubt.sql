-- A send of this text of which nobody knows whether it went out, whichever row of the text made it; of several the last.
-- Null: there is none. Another row of the text is first in doubt about it, instead of sent: evidence of it is looked for
-- again. One that is under way is no doubt yet.
--   since: when it came into doubt, which evidence is compared with · why: what the other row says meanwhile
-- In plpgsql, which plans it once a connection: every begin asks.
create or replace function smsretry.earlier_doubt(
    send_log_id uuid, business_id uuid, out attempt_id uuid, out since timestamptz, out why text
)
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
begin
    select a.id, coalesce(a.finished_at, a.begun_at) into attempt_id, since
    from public.sms_send_attempts a
    -- An array, so that an index finds them whatever is known of the tables.
    where a.retry_id = any (array(
            select q.id from public.sms_retry_queue q
            -- Another business's rows are none of this text's.
            where q.send_log_id = earlier_doubt.send_log_id and q.business_id = earlier_doubt.business_id
              and q.begun_at is null))
      and coalesce(a.outcome, 'in_doubt') = 'in_doubt'
    order by a.begun_at desc limit 1;
    if found then
        why := 'An earlier send of this text may have gone out: it is looked for before another one leaves';
    end if;
end
$$;
