-- Triggers on writes that are not ours. To replace one lets readers go on, unlike to drop it.

create or replace trigger smsretry_before_insert
    before insert on public.sms_retry_queue for each row execute function smsretry.enter_queue();

create or replace trigger smsretry_put_back
    before update on public.sms_retry_queue for each row
    when (old.status in ('completed', 'failed', 'cancelled') and new.status = 'pending') execute function smsretry.enter_queue();

create or replace trigger smsretry_end_by_application
    before update on public.sms_retry_queue for each row
    when (old.claimed_by_application and new.in_doubt_since is not null and new.status in ('completed', 'failed'))
    execute function smsretry.end_by_application();

-- Triggers fire in the order of their names, and others may change the status.
create or replace trigger zz_smsretry_set_work
    before insert or update on public.sms_retry_queue for each row execute function smsretry.set_work();

create or replace trigger smsretry_scheduled_send_changed
    before update on public.scheduled_sends for each row execute function smsretry.scheduled_send_changed();

-- A statement at a time: an application imports customers by the thousand.
create or replace trigger smsretry_keep_inserted
    after insert on public.customers
    referencing new table as customers_after
    for each statement execute function smsretry.keep_consent();

create or replace trigger smsretry_keep_updated
    after update on public.customers
    referencing old table as customers_before new table as customers_after
    for each statement execute function smsretry.keep_consent();

create or replace trigger smsretry_keep_deleted
    after delete on public.customers
    referencing old table as customers_before
    for each statement execute function smsretry.keep_consent();

create or replace trigger smsretry_decide_anew
    after update on public.customers
    referencing old table as customers_before new table as customers_after
    for each statement execute function smsretry.recheck_waiting();

create or replace trigger smsretry_decide_anew
    after update on public.businesses
    referencing old table as businesses_before new table as businesses_after
    for each statement execute function smsretry.recheck_waiting();

-- Not for a claim, a begin and an acceptance, which the plain path is made of.
create or replace trigger smsretry_keep_event
    after update on public.sms_retry_queue for each row
    when (new.status in ('pending', 'failed', 'cancelled') and (old.status <> new.status or new.scheduled_for > old.scheduled_for)
    or new.status = 'completed' and (new.claimed_at is not null or old.status not in ('processing', 'completed')))
    execute function smsretry.keep_event();
