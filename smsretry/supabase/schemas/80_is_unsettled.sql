-- Whether one of a text's attempts may have gone out and nobody knows. Such a text is never simply sent again.
create or replace function smsretry.is_unsettled(retry_id uuid)
returns boolean language sql stable set search_path = pg_catalog, pg_temp as $$
    select exists (select 1 from public.sms_send_attempts a
                   where a.retry_id = is_unsettled.retry_id and coalesce(a.outcome, 'in_doubt') = 'in_doubt')
$$;

revoke all on function smsretry.is_unsettled from public, anon, authenticated;
grant execute on function smsretry.is_unsettled to service_role;
