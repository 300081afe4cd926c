-- Say whether what these senders received concerns a business: one of them sends its texts, or has
-- sent one to the number. What went out from a sender that is unknown, or is gone, may have gone out
-- from any of its account.
--   senders: null: all
--   account: that they are of; null: not told
create or replace function smsretry.concerns(
    business_id uuid,
    number_key bytea,
    senders text[],
    account text default null
)
returns boolean
-- cost: it is asked only of what stands
language plpgsql stable cost 10000 set search_path = pg_catalog, pg_temp as $$
begin
    return concerns.senders is null
        or smsretry.sends_through(concerns.business_id, concerns.senders)
        or exists (
            select from public.sms_send_attempts a
            where a.number_key = concerns.number_key
              and (
                  a.sent_by = any (concerns.senders)
                  or (lower(a.sent_account) = lower(concerns.account)) is not false
                      and not exists (
                          select from smsretry.senders s
                          where s.sent_by = a.sent_by
                      )
              )
        );
end
$$;
