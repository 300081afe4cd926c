-- Say whether another message of the text is, or may get, on the phone: under way, in doubt, or
-- accepted and not lost. Such a text is never sent again.
--   but_for: the attempt that is not asked about
create or replace function smsretry.may_have_arrived(send_log_id uuid, but_for uuid)
returns boolean
language sql stable set search_path = pg_catalog, pg_temp as $$
    select exists (
        select from public.sms_send_attempts a
        -- An array, so that an index finds them without statistics.
        where a.retry_id = any (
            array(
                select q.id
                from public.sms_retry_queue q
                where q.send_log_id = may_have_arrived.send_log_id
            )
        )
          and a.id is distinct from may_have_arrived.but_for
          and (
              coalesce(a.outcome, 'in_doubt') = 'in_doubt'
              or a.outcome = 'accepted'
                  and not smsretry.is_lost(a.delivery_status)
          )
    )
$$;
