-- Find the senders that received an incoming text, by the provider's webhook: the service or the
-- number, which may belong to a service, so that the provider stops or starts both; otherwise all
-- senders of the account. An account speaks for its own senders and for no others; a sender that
-- moved is recorded with both accounts, and a START counts at the account that it was last recorded
-- with. Whoever adds a sender in SQL may write its SID in capitals; the first run names the default
-- sender.
--   account: that signed the webhook; null: not told
--   senders: null: nobody knows, and a STOP holds everywhere. So it does while no business has a
--     sender of its own
--   known: the sender itself is known; otherwise a START counts nowhere
create or replace function smsretry.receivers_of(
    number text,
    service text,
    account text,
    is_start boolean,
    out senders text[],
    out known boolean
)
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
    v_number constant text := smsretry.heard_number(receivers_of.number);
    v_account constant text := nullif(lower(btrim(receivers_of.account)), '');
begin
    known := not exists (select from smsretry.business_senders);
    if known then
        return;
    end if;
    senders := (
        select array_agg(distinct s.sent_by)
        from smsretry.senders s
        where lower(s.sent_by) in (v_number, lower(btrim(receivers_of.service)))
          and (lower(s.account) = v_account) is not false
          and not (
              receivers_of.is_start
              and v_account is not null
              and exists (
                  select from smsretry.senders n
                  where lower(n.sent_by) = lower(s.sent_by)
                    and n.created_at > s.created_at
                    and lower(n.account) <> v_account
              )
          )
    );
    known := senders is not null;
    if not known
        and v_account is not null
        and exists (
            select from smsretry.senders s
            where s.named_at is not null
        ) then
        senders := array(
            select s.sent_by
            from smsretry.senders s
            where lower(s.account) = v_account
        );
    end if;
end
$$;
