-- Triggers on writes that are not ours.

drop trigger if exists smsretry_before_insert on public.sms_retry_queue;
create trigger smsretry_before_insert
    before insert on public.sms_retry_queue for each row execute function smsretry.enter_queue();

drop trigger if exists smsretry_put_back on public.sms_retry_queue;
create trigger smsretry_put_back
    before update on public.sms_retry_queue for each row
    when (old.status in ('completed', 'failed', 'cancelled') and new.status = 'pending') execute function smsretry.enter_queue();

drop trigger if exists smsretry_end_by_application on public.sms_retry_queue;
create trigger smsretry_end_by_application
    before update on public.sms_retry_queue for each row
    when (old.claimed_by_application and new.in_doubt_since is not null and new.status in ('completed', 'failed'))
    execute function smsretry.end_by_application();

-- Triggers fire in the order of their names, and others may change the status.
drop trigger if exists zz_smsretry_set_work on public.sms_retry_queue;
create trigger zz_smsretry_set_work
    before insert or update on public.sms_retry_queue for each row execute function smsretry.set_work();

drop trigger if exists smsretry_scheduled_send_changed on public.scheduled_sends;
create trigger smsretry_scheduled_send_changed
    before update on public.scheduled_sends for each row execute function smsretry.scheduled_send_changed();

-- A statement at a time: an application imports customers by the thousand.
drop trigger if exists smsretry_keep_inserted on public.customers;
create trigger smsretry_keep_inserted
    after insert on public.customers
    referencing new table as customers_after
    for each statement execute function smsretry.keep_consent();

drop trigger if exists smsretry_keep_updated on public.customers;
create trigger smsretry_keep_updated
    after update on public.customers
    referencing old table as customers_before new table as customers_after
    for each statement execute function smsretry.keep_consent();

drop trigger if exists smsretry_keep_deleted on public.customers;
create trigger smsretry_keep_deleted
    after delete on public.customers
    referencing old table as customers_before
    for each statement execute function smsretry.keep_consent();

-- Only where something is different: an application saves whole rows.
drop trigger if exists smsretry_decide_anew on public.customers;
create trigger smsretry_decide_anew
    after update of phone, timezone on public.customers for each row
    when ((old.phone, old.timezone) is distinct from (new.phone, new.timezone)) execute function smsretry.recheck_waiting();

drop trigger if exists smsretry_decide_anew on public.businesses;
create trigger smsretry_decide_anew
    after update of timezone, sms_hours, sms_daily_cap on public.businesses for each row
    when (
        (old.timezone, old.sms_hours, old.sms_daily_cap)
            is distinct from (new.timezone, new.sms_hours, new.sms_daily_cap)
    ) execute function smsretry.recheck_waiting();

-- Not for a claim, a begin and an acceptance, which the plain path is made of.
drop trigger if exists smsretry_keep_event on public.sms_retry_queue;
create trigger smsretry_keep_event
    after update on public.sms_retry_queue for each row
    when (new.status in ('pending', 'failed', 'cancelled') and (old.status <> new.status or new.scheduled_for > old.scheduled_for)
    or new.status = 'completed' and (new.claimed_at is not null or old.status not in ('processing', 'completed')))
    execute function smsretry.keep_event();
