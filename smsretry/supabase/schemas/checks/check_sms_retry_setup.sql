-- For `smsretry doctor` up to version 1.0.0, which compares less than this database can tell: examine_sms_retries.
-- Reads only. wanted: what the caller's version of the package makes; no longer looked at.
create or replace function public.check_sms_retry_setup(wanted jsonb)
returns table (subject text, ok boolean, advice text)
language sql stable security invoker set search_path = pg_catalog, pg_temp as $$
    select 'version of the package', false, 'functions, tables and grants were not checked: the database is a newer '
               || 'version''s. Upgrade smsretry here, too'
    union all
    select a.subject, a.ok, case when not a.ok then a.advice end from smsretry.check_access() a
    union all
    select r.subject, r.ok, r.advice from smsretry.check_reminders() r
$$;
