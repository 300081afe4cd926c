-- Opt-outs that customers' rows say and that nobody has heard: they were written before there was a trigger.
insert into smsretry.consents (number_key, business_id, said, source, at, dated, customer_id)
select k.number_key, c.business_id, 'opted_out', left(c.sms_consent_source::text, 200), smsretry.clock(),
       coalesce(c.sms_consent_at, smsretry.clock()), c.id
from public.customers c
cross join lateral (select smsretry.number_key(c.business_id, c.phone) as number_key offset 0) k
where c.sms_consent_status::text = 'opted_out' and c.phone is not null
  and not exists (select from smsretry.consents o where o.number_key = k.number_key and o.said = 'opted_out');
