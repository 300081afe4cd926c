-- Triggers on writes that are not ours. To replace one lets readers go on, unlike to drop it.

-- Triggers fire in the order of their names, and others may change the status.
create or replace trigger zz_smsretry_guard_row
    before insert or update on public.sms_retry_queue for each row execute function smsretry.guard_row();

create or replace trigger smsretry_guard_attempt
    before insert or update on public.sms_send_attempts for each row execute function smsretry.guard_attempt();

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
