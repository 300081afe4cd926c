-- For cancel_sms_retries: cancel scheduled sends that are not queued yet, newest first. One that cannot be changed stays.
-- Returns a JSON object a row, as smsretry.change_of_row. The filter: as smsretry.chosen.
create or replace function smsretry.cancel_scheduled(
    ids uuid[], business_id uuid, customer_id uuid, containing text, since timestamptz, until timestamptz, row_limit integer,
    dry_run boolean, why_code text, why text
)
returns jsonb[] language plpgsql set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_custom_plan as $$
declare
    v_send public.scheduled_sends;
    v_skip text;
    v_found boolean;
    v_rows jsonb[] := '{}';
begin
    for v_send in
        select s.* from public.scheduled_sends s
        where s.status = 'scheduled'
          and (cancel_scheduled.ids is null or s.id = any (cancel_scheduled.ids))
          and (cancel_scheduled.business_id is null or s.business_id = cancel_scheduled.business_id)
          and (cancel_scheduled.customer_id is null or s.customer_id = cancel_scheduled.customer_id)
          and (cancel_scheduled.why_code is null or s.why_code = cancel_scheduled.why_code)
          and (cancel_scheduled.containing is null or strpos(lower(s.why), lower(cancel_scheduled.containing)) > 0)
          and (cancel_scheduled.since is null or s.updated_at >= cancel_scheduled.since)
          and (cancel_scheduled.until is null or s.updated_at < cancel_scheduled.until)
        order by s.updated_at desc, s.id
        limit cancel_scheduled.row_limit
    loop
        v_skip := null;
        if not cancel_scheduled.dry_run then
            begin
                update public.scheduled_sends s set status = 'cancelled', why = cancel_scheduled.why, why_code = 'operator'
                where s.id = v_send.id and s.status = 'scheduled';
                v_found := found;
                v_skip := case
                    when exists (select 1 from public.scheduled_sends s where s.id = v_send.id and s.status = 'scheduled')
                        then 'A trigger on scheduled_sends keeps it as it is'
                    when not v_found then 'It has changed meanwhile'
                end;
                set constraints all immediate; -- a deferred check would undo the others, too
            exception when others then
                v_skip := 'A trigger or a rule of scheduled_sends refuses each change of it (' || sqlstate || ')';
            end;
        end if;
        v_rows := v_rows || jsonb_build_object(
            'retry_id', v_send.id, 'business_id', v_send.business_id, 'customer_id', v_send.customer_id,
            'number', smsretry.masked((select c.phone from public.customers c where c.id = v_send.customer_id)),
            'message_class', case v_send.message_class when 'transactional' then 'transactional' else 'marketing' end,
            'attempts', 0,
            'was', coalesce(smsretry.numberless(v_send.why), 'Scheduled for ' || to_char(v_send.scheduled_for at time zone 'UTC', 'YYYY-MM-DD HH24:MI') || ' UTC'),
            'skipped', v_skip, 'warned', null);
    end loop;
    return v_rows;
end
$$;
