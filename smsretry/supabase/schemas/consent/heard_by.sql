-- Which senders heard a text that came in, by what the provider's webhook says of it: the service, or the number, in the
-- account. A number may belong to a service, and the provider stops or starts both. An account stands for all of its senders, those
-- included that are gone. An environment may have a SID in capitals.
--   senders: null if nobody knows. Then a STOP holds everywhere. So it does while no business has a sender of its own
--   lifts: whether a START counts. It does not if its sender is unknown, or is one of several of the account
create or replace function smsretry.heard_by(number text, service text, account text, out senders text[], out lifts boolean)
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
    v_number constant text := nullif(btrim(regexp_replace(
        heard_by.number, '^ *(?:(?:rcs|sms):)? *[+]?([1-9][0-9]{9,14}) *$', '+\1')), '');
    v_service constant text := nullif(lower(btrim(heard_by.service)), '');
    v_account constant text := nullif(lower(btrim(heard_by.account)), '');
    v_known record;
begin
    lifts := not exists (select from smsretry.business_senders);
    if lifts then
        return;
    end if;
    select array_agg(distinct s.sent_by) filter (where s.named and coalesce(lower(s.account) = v_account, true)) as named,
           array_agg(distinct s.sent_by) filter (where lower(s.account) = v_account)
               || array_agg(distinct s.account) filter (where lower(s.account) = v_account) as of_account,
           count(distinct s.sent_by) filter (where lower(s.account) = v_account) as in_account,
           coalesce(bool_or(s.named), false) as known, bool_or(s.told_at is not null) as told
    into v_known from (select o.*, lower(o.sent_by) in (v_service, v_number) as named from smsretry.senders o) s;
    -- It names a sender of ours and another account, so our table is out of date. Or it names none, and may mean the
    -- environment's, which no run has told yet.
    if v_known.named is null and (v_known.known or not v_known.told) then
        return;
    end if;
    senders := coalesce(v_known.named, v_known.of_account);
    lifts := v_known.named is not null
        or v_known.in_account = 1 and v_service is null and v_number is null;
end
$$;
