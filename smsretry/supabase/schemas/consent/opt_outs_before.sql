-- Keep opt-outs that customers' rows say and that nobody has received: they were written before
-- there was a trigger, or while it was off.
select count(
    smsretry.keep_opt_out(
        c.business_id,
        c.phone,
        c.sms_consent_source::text,
        c.sms_consent_at,
        once => true
    )
)
from public.customers c
where c.sms_consent_status::text = 'opted_out';
