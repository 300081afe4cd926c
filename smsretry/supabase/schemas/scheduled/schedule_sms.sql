-- Plan a text for a time, when it is checked like every other: consent, permitted hours, caps.
-- Update its row to change it.
--   scheduled_for: a past time means now
--   not_after: when the text is of no more use; null: as any text
--   message_class: null: marketing
--   created_by: the planner
--   id: the caller's own, with which the call may be repeated; null: each call plans another text
--   result: scheduled, or already_scheduled (this id exists and stays as it is)
create or replace function public.schedule_sms(
    business_id uuid,
    customer_id uuid,
    body text,
    scheduled_for timestamptz,
    not_after timestamptz default null,
    message_class text default null,
    created_by uuid default null,
    id uuid default null
)
returns table (scheduled_id uuid, result text, due_at timestamptz)
language plpgsql set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    v_now constant timestamptz := smsretry.clock();
    v_id constant uuid := coalesce(schedule_sms.id, gen_random_uuid());
    v_class constant text := coalesce(schedule_sms.message_class, 'marketing');
    v_problem text;
    v_send public.scheduled_sends;
    v_is_new boolean;
    v_column text;
    v_rule text;
begin
    v_problem := case
        when schedule_sms.scheduled_for is null
            then 'scheduled_for is missing: when is the text to go out?'
        when smsretry.on_calendar(schedule_sms.scheduled_for) is null
            then 'scheduled_for must be a time in this century'
        when schedule_sms.not_after is distinct from smsretry.on_calendar(
            schedule_sms.not_after
        )
            then 'not_after must be a time in this century'
        when schedule_sms.not_after <= greatest(schedule_sms.scheduled_for, v_now)
            then 'not_after must come after scheduled_for, and after now'
        when coalesce(btrim(schedule_sms.body, E' \t\n\r'), '') = ''
            then 'body is empty'
        when length(schedule_sms.body) > smsretry.longest_body()
            then 'body is longer than ' || smsretry.longest_body()
                || ' characters, the most that the provider takes'
        when v_class not in ('marketing', 'transactional')
            then 'message_class must be marketing or transactional'
    end;
    if v_problem is not null then
        raise exception '%', v_problem using errcode = 'SR422';
    end if;
    if not exists (
        select from public.customers c
        where c.id = schedule_sms.customer_id
          and c.business_id = schedule_sms.business_id
    ) then
        raise exception 'There is no customer % at business %',
            schedule_sms.customer_id,
            schedule_sms.business_id
            using errcode = 'SR404',
                  hint = 'Consent and phone number are read there: insert the customer first.';
    end if;

    begin
        insert into public.scheduled_sends (
            id,
            business_id,
            customer_id,
            body,
            scheduled_for,
            not_after,
            message_class,
            status,
            created_by,
            created_at,
            updated_at
        )
        values (
            v_id,
            schedule_sms.business_id,
            schedule_sms.customer_id,
            schedule_sms.body,
            greatest(schedule_sms.scheduled_for, v_now), -- its life counts from there
            schedule_sms.not_after,
            v_class,
            'scheduled',
            schedule_sms.created_by,
            v_now,
            v_now
        )
        on conflict (id)
        do nothing;
        v_is_new := found;
    exception
        when integrity_constraint_violation then
            -- The database's own error would quote the body, also in its log.
            get stacked diagnostics
                v_column = column_name,
                v_rule = constraint_name;
            raise exception 'scheduled_sends does not take the text: %',
                array_to_string(array_remove(array[sqlstate, v_column, v_rule], ''), ', ')
                using errcode = 'SR409',
                      hint = 'Look at what the table requires beyond smsretry''s columns, or insert the row yourself.';
    end;
    select *
    into v_send
    from public.scheduled_sends s
    where s.id = v_id;
    if not v_is_new
        and (v_send.business_id, v_send.customer_id, v_send.body) is distinct from (
            schedule_sms.business_id,
            schedule_sms.customer_id,
            schedule_sms.body
        ) then
        raise exception 'Scheduled send % is another text', v_id
            using errcode = 'SR409',
                  hint = 'Give each text an id of its own.';
    end if;
    return query
    select
        v_send.id,
        case when v_is_new then 'scheduled' else 'already_scheduled' end,
        v_send.scheduled_for;
end
$$;
