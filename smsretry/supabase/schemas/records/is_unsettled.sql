-- Whether a send of this row's text, by any row, is in doubt. Such a text is never simply sent again.
create or replace function smsretry.is_unsettled(retry_id uuid)
returns boolean language sql stable set search_path = pg_catalog, pg_temp as $$
    select exists (
        select 1 from public.sms_retry_queue q
        cross join lateral smsretry.earlier_doubt(q.send_log_id, q.business_id) d
        where q.id = is_unsettled.retry_id and d.attempt_id is not null)
$$;
