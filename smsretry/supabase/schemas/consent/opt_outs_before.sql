-- Opt-outs that customers' rows say and that nobody has heard: they were written before there was a
-- trigger.
select count(
    smsretry.keep_opt_out(
        c.business_id,
        c.phone,
        c.sms_consent_source::text,
        c.sms_consent_at
    )
)
from public.customers c
where c.sms_consent_status::text = 'opted_out'
  and c.phone is not null
  and not exists (
      select from smsretry.consents o
      where o.number_key = smsretry.number_key(c.business_id, c.phone)
        and o.said = 'opted_out'
      offset 0
  );
