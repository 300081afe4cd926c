-- Messages that may mean stop, for each customer who may have written one and whose business has
-- not said yet what it means. Like a STOP, one counts where it was received; until somebody has
-- read it, also where the number becomes known later, if a sender is shared.
create or replace view smsretry.unread_words with (security_invoker = true) as
select
    t.twilio_sid,
    t.received_at,
    t.phone,
    c.id as customer_id,
    c.business_id
from smsretry.inbound_texts t
cross join lateral (
    select o.id, o.business_id
    from public.customers o
    where o.phone = t.phone
      and o.sms_consent_status::text is distinct from 'opted_out'
    offset 0
) c -- by the number's index, whatever the statistics are
where t.phone is not null
  and (
      c.business_id = any (t.businesses)
      or t.senders is null
      or smsretry.sends_through(c.business_id, t.senders)
  );
