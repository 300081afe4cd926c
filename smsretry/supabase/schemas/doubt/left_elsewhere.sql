-- Whether a row is in doubt about a message that may have left from another account than the environments': workers of version
-- 1.0 look in theirs alone, and would find nothing.
create or replace function smsretry.left_elsewhere(retry_id uuid)
returns boolean language plpgsql stable set search_path = pg_catalog, pg_temp as $$
begin
    return exists (
        select from public.sms_retry_queue q
        join public.sms_send_attempts a on a.id = q.attempt_id
        where q.id = left_elsewhere.retry_id and q.in_doubt_since is not null
          and case when a.sent_account is not null
                   then not exists (select from smsretry.default_senders d where d.account = a.sent_account)
                   -- It was not written down from where it left.
                   else a.sent_by is null and (smsretry.sender_of(q.business_id, q.message_class)).id is not null end);
end
$$;
