-- One part of what `smsretry doctor` examines, each as one value, which no max-rows of the project's cuts off. A part that
-- fails hides no other.
create or replace function public.examine_sms_retries(part text)
returns jsonb language plpgsql volatile security invoker set search_path = pg_catalog, pg_temp as $$
declare
    v_found jsonb;
begin
    case part
    when 'objects' then
        select jsonb_agg(c) into v_found from smsretry.checksums() c;
    when 'shapes' then
        select jsonb_agg(d) into v_found from smsretry.describe_sms_tables() d;
    when 'access' then
        select jsonb_agg(a) into v_found
        from (select r.subject, r.ok, r.advice from smsretry.check_rights() r
              union all
              select c.subject, c.ok, case when not c.ok then c.advice end from smsretry.check_access() c) a;
    when 'reminders' then
        select jsonb_agg(r) into v_found from smsretry.check_reminders() r;
    when 'rehearsal' then
        select jsonb_agg(t) into v_found from public.try_sms_retry_queue() t;
    when 'status' then
        select jsonb_agg(s) into v_found from public.sms_status() s;
    else
        raise exception 'There is no such part to examine' using errcode = 'SR422',
            hint = 'The parts: objects, shapes, access, reminders, rehearsal, status.';
    end case;
    return coalesce(v_found, '[]');
end
$$;
