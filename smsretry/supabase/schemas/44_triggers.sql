-- What happens on writes that are not ours.

drop trigger if exists smsretry_before_insert on public.sms_retry_queue;
create trigger smsretry_before_insert
    before insert on public.sms_retry_queue for each row execute function smsretry.before_insert();

drop trigger if exists smsretry_scheduled_send_changed on public.scheduled_sends;
create trigger smsretry_scheduled_send_changed
    before update on public.scheduled_sends for each row execute function smsretry.scheduled_send_changed();

drop trigger if exists smsretry_keep_suppression on public.customers;
create trigger smsretry_keep_suppression
    after insert or update of phone, sms_consent_status, sms_consent_at on public.customers
    for each row when (new.phone is not null) execute function smsretry.keep_suppression();

-- Who had opted out before there was this trigger.
insert into smsretry.suppressions (number_key, business_id, since, source)
select distinct on (1) smsretry.number_key(c.business_id, c.phone), c.business_id,
       coalesce(c.sms_consent_at, smsretry.clock()), left(c.sms_consent_source, 200)
from public.customers c
where c.sms_consent_status::text = 'opted_out' and c.phone is not null
order by 1, c.sms_consent_at desc nulls last
on conflict do nothing;
