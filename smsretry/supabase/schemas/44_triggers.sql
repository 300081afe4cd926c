-- What happens on writes that are not ours.

drop trigger if exists smsretry_before_insert on public.sms_retry_queue;
create trigger smsretry_before_insert
    before insert on public.sms_retry_queue for each row execute function smsretry.before_insert();

drop trigger if exists smsretry_open_delivery on public.sms_send_attempts;
create trigger smsretry_open_delivery
    before insert or update of delivery_look_at on public.sms_send_attempts
    for each row when (new.delivery_look_at is not null and new.business_id is null) execute function smsretry.open_delivery();

drop trigger if exists smsretry_scheduled_send_changed on public.scheduled_sends;
create trigger smsretry_scheduled_send_changed
    before update on public.scheduled_sends for each row execute function smsretry.scheduled_send_changed();

drop trigger if exists smsretry_keep_suppression on public.customers;
create trigger smsretry_keep_suppression
    after insert or update of business_id, phone, sms_consent_status, sms_consent_at, sms_consent_source on public.customers
    for each row execute function smsretry.keep_suppression();

-- What was queued anew before its insert asked whether an earlier send of the text is in doubt. Found by the sends in doubt,
-- of which there are few, and not by the rows that wait.
update public.sms_retry_queue q
set attempt_id = d.attempt_id, in_doubt_since = d.since, why = d.why, held_since = null
from (select distinct e.send_log_id, e.business_id
      from public.sms_send_attempts a join public.sms_retry_queue e on e.id = a.retry_id
      where coalesce(a.outcome, 'in_doubt') = 'in_doubt' and e.status in ('failed', 'cancelled')) ended
cross join lateral smsretry.earlier_doubt(ended.send_log_id, ended.business_id) d
where q.send_log_id = ended.send_log_id and q.business_id = ended.business_id
  and q.status = 'pending' and q.in_doubt_since is null and d.attempt_id is not null;

-- Who had opted out before there was this trigger, and in which way. What a START may not lift is said first: in version
-- 1.0.0 a later STOP took its place. Nobody is opted out anew who has opted in since.
insert into smsretry.suppressions as s (number_key, business_id, since, source)
select distinct on (1) smsretry.number_key(c.business_id, c.phone), c.business_id, c.last_at, left(c.sms_consent_source, 200)
from (select o.*, max(coalesce(o.sms_consent_at, smsretry.clock())) over (partition by o.business_id, o.phone) as last_at
      from public.customers o
      where o.sms_consent_status::text = 'opted_out' and o.phone is not null) c
where not exists (
    select 1 from public.customers i
    where i.phone = c.phone and i.business_id = c.business_id and i.sms_consent_status::text = 'opted_in'
      and i.sms_consent_at > c.last_at and i.sms_consent_at <= smsretry.clock())
order by 1, smsretry.start_lifts(c.sms_consent_source::text), c.sms_consent_at desc nulls last
on conflict (number_key) do update set source = excluded.source
where smsretry.start_lifts(s.source) and not smsretry.start_lifts(excluded.source);

-- What consent was before a STOP that version 1.0.0 wrote. It kept no record of that, and opted out those who had never
-- consented, too; its START then called all of them opted in. So a START may give consent back only where it is known
-- otherwise: the last text to the customer's number before the STOP was begun under consent. A consent that says a START is
-- where it comes from proves nothing, and the text before it is asked. Who is not found here is unknown after a START, and
-- must be asked anew. Rows that are opted in by such a START stay as they are: of them, too, it is not known.
insert into smsretry.stopped_consents (customer_id, number_key, consent)
select c.id, k.number_key, 'opted_in'
from public.customers c
cross join lateral (select smsretry.number_key(c.business_id, c.phone) as number_key) k
cross join lateral (
    select a.consent_status
    from public.sms_send_attempts a
    join public.sms_retry_queue q on q.id = a.retry_id
    where a.number_key = k.number_key and q.customer_id = c.id and a.begun_at <= coalesce(c.sms_consent_at, 'infinity')
      and a.consent_source is distinct from 'inbound_start'
    order by a.begun_at desc limit 1) last
where c.sms_consent_status::text = 'opted_out' and c.phone is not null
  and smsretry.start_lifts(c.sms_consent_source::text) and last.consent_status = 'opted_in'
on conflict do nothing;
