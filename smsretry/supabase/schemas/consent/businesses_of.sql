-- The businesses at which a number is known: those that have a customer with it or have texted it. A deleted customer who answers
-- STOP may be imported again tomorrow.
--   senders: only those that send through one of them now, or have texted the number from one. What went out from a sender that
--   nobody knows, or knows any more, may have gone out from any
--   now: what a business texted from earlier does not count
create or replace function smsretry.businesses_of(phone text, senders text[] default null, now boolean default false)
returns uuid[] language plpgsql stable set search_path = pg_catalog, pg_temp as $$
begin
    return array(
        select known.id
        from (select b.id, smsretry.number_key(b.id, businesses_of.phone) as number_key from public.businesses b offset 0) known
        where (exists (select from public.sms_send_attempts a where a.number_key = known.number_key)
               or exists (select from public.customers c -- is true: by the number's index alone
                          where c.phone = businesses_of.phone and (c.business_id = known.id) is true))
          and (businesses_of.senders is null
               or smsretry.sends_through(known.id, businesses_of.senders)
               or not businesses_of.now and exists (
                   select from public.sms_send_attempts a
                   where a.number_key = known.number_key
                     and (a.sent_by = any (businesses_of.senders)
                          or not exists (select from smsretry.senders s where s.sent_by = a.sent_by))))
        order by 1);
end
$$;
