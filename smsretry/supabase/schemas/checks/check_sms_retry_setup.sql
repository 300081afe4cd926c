-- For `smsretry doctor`: what is right, what is wrong and what to do about it. Reads only.
-- wanted: what the caller's version of the package makes, by kind: functions ([name, md5 of the body]); columns and
-- constraints ([table, name, definition]); indexes, triggers, policies and the grants of service_role ([table, name]).
create or replace function public.check_sms_retry_setup(wanted jsonb)
returns table (subject text, ok boolean, advice text)
language sql stable security invoker set search_path = pg_catalog, pg_temp as $$
    select f.subject, f.ok, case when not f.ok then f.advice end
    from (
        select * from smsretry.check_functions(check_sms_retry_setup.wanted)
        union all
        select * from smsretry.check_parts(check_sms_retry_setup.wanted)
        union all
        select * from smsretry.check_access()
    ) f
    union all
    select r.subject, r.ok, r.advice from smsretry.check_reminders() r
$$;
