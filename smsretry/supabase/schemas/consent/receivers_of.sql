-- Find the senders that received an incoming text, by the provider's webhook: the service or the
-- number, which may belong to a service, so that the provider stops or starts both; otherwise all
-- senders of the account. Whoever adds a sender in SQL may write its SID in capitals; the first run
-- names the default sender.
--   senders: null: nobody knows, and a STOP holds everywhere. So it does while no business has a
--     sender of its own
--   lifts: whether a START counts; not if its sender is unknown
create or replace function smsretry.receivers_of(
    number text,
    service text,
    account text,
    out senders text[],
    out lifts boolean
)
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
    v_number constant text := regexp_replace(
        receivers_of.number,
        '^ *(?:(?:rcs|sms):)? *[+]?([1-9][0-9]{9,14}) *$',
        '+\1'
    );
begin
    lifts := not exists (select from smsretry.business_senders);
    if lifts then
        return;
    end if;
    select array_agg(distinct s.sent_by) filter (
        where lower(s.sent_by) in (v_number, lower(btrim(receivers_of.service)))
    )
    into senders
    from smsretry.senders s;
    lifts := senders is not null;
    if not lifts
        and exists (
            select from smsretry.senders s
            where s.named_at is not null
        ) then
        senders := (
            select array_agg(s.sent_by)
            from smsretry.senders s
            where lower(s.account) = lower(btrim(receivers_of.account))
        );
    end if;
end
$$;
