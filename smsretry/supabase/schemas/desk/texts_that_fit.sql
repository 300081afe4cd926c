-- Find the texts and scheduled sends that fit a filter, those that changed last first.
--   which: an object; what it lacks filters nothing:
--     retry_ids, business_id, customer_id, code (0: without one), why_code, states: of the text
--     since, until: it last changed then or later, then or earlier
--     send: an outcome, under_way or a word of smsretry.delivery_of: it has such a send; since, until
--       and code are then the send's
--     sender: by its id or the provider's: it is in the queue, and goes out from that
--     due_by: it is due then or earlier
--     needs_person: it waits for a person
create or replace function smsretry.texts_that_fit(which jsonb)
returns setof uuid
language plpgsql stable set search_path = pg_catalog, pg_temp
-- A generic plan would read the whole table.
set plan_cache_mode = force_custom_plan as $$
declare
    k_fields constant text[] := '{retry_ids,business_id,customer_id,code,why_code,states,since,until,send,sender,due_by,needs_person}';
    v_now constant timestamptz := smsretry.clock();
    v_filter record;
    v_statuses text[];
    v_is_default boolean;
    v_own text[]; -- businesses and classes with a sender of their own; of the default sender, all
begin
    if which = '{}'
        or exists (
            select from jsonb_object_keys(which) k
            where k <> all (k_fields)
        )
    then
        raise exception 'Say which texts, by %', array_to_string(k_fields, ', ')
            using errcode = 'SR422';
    end if;
    select *
    into v_filter
    from jsonb_to_record(which) f (
        retry_ids uuid[],
        business_id uuid,
        customer_id uuid,
        code integer,
        why_code text,
        states text[],
        since timestamptz,
        until timestamptz,
        send text,
        sender text,
        due_by timestamptz,
        needs_person boolean
    );
    if v_filter.send is not null then
        v_filter.retry_ids := array(
            select distinct a.retry_id
            from public.sms_send_attempts a
            where case
                    when v_filter.send in ('delivered', 'undelivered', 'unknown', 'open')
                        then a.twilio_sid is not null
                          and not a.delivery_excused
                          and smsretry.delivery_of(a.delivery_status) = v_filter.send
                          and (v_filter.code is null or coalesce(a.delivery_code, 0) = v_filter.code)
                    else coalesce(a.outcome, 'under_way') = v_filter.send
                      and (v_filter.code is null or coalesce(a.error_code, 0) = v_filter.code)
                end
              and (v_filter.since is null or a.begun_at > v_filter.since)
              and (v_filter.until is null or a.begun_at <= v_filter.until)
              and (v_filter.retry_ids is null or a.retry_id = any (v_filter.retry_ids))
        );
        v_filter.since := null;
        v_filter.until := null;
        v_filter.code := null;
    end if;
    if v_filter.sender is not null then
        select d.is_default, array(
            select o.business_id || ' ' || o.message_class
            from smsretry.own_senders o
            where (o.sender_id = s.id) <> d.is_default
        )
        into v_is_default, v_own
        from smsretry.senders s
        cross join lateral (
            select s.id is not distinct from (smsretry.sender_of(null, null)).id
        ) d (is_default)
        where v_filter.sender in (s.id::text, s.sent_by);
    end if;
    if v_filter.states <@ '{under_way,in_doubt,held,due,waiting}'
        and num_nonnulls(v_filter.retry_ids, v_filter.customer_id) = 0
    then -- by the index of what has not ended
        v_filter.retry_ids := array(
            select q.id
            from public.sms_retry_queue q
            where q.work is not null
              and smsretry.live_state(q.work, q.in_doubt_since, q.held_since, q.scheduled_for, v_now) = any (v_filter.states)
            union all
            select s.id
            from public.scheduled_sends s
            where s.status = 'scheduled'
        );
    end if;
    v_statuses := array(
        select unnest(
            case s
                when 'sent' then array['completed']
                when 'under_way' then array['processing']
                when 'in_doubt' then array['pending', 'processing']
                when 'held' then array['pending', 'scheduled']
                when 'due' then array['pending']
                when 'waiting' then array['pending']
                else array[s]
            end
        )
        from unnest(
            coalesce(v_filter.states, '{sent,under_way,in_doubt,held,failed,cancelled}')
        ) s
    );
    return query
    select t.retry_id
    from smsretry.text_on_record t
    where t.kind <> 'send log'
      -- is not false: by the ids or the customer alone; with old statistics an index of all live
      -- rows is walked
      and case
          when num_nonnulls(v_filter.retry_ids, v_filter.customer_id) = 0
              then t.status = any (v_statuses)
          else (t.status = any (v_statuses)) is not false
      end
      and (v_filter.retry_ids is null or t.retry_id = any (v_filter.retry_ids))
      and (v_filter.business_id is null or t.business_id = v_filter.business_id)
      and (v_filter.customer_id is null or t.customer_id = v_filter.customer_id)
      and (v_filter.code is null or coalesce(t.code, 0) = v_filter.code)
      and (v_filter.why_code is null or t.why_code = v_filter.why_code)
      and (v_filter.since is null or t.updated_at >= v_filter.since)
      and (v_filter.until is null or t.updated_at <= v_filter.until)
      and (v_filter.states is null or t.state = any (v_filter.states))
      and (
          v_filter.due_by is null
          or v_filter.due_by >= case t.kind when 'row' then t.next_at else t.planned_for end
      )
      and (v_filter.needs_person is null or t.needs_person = v_filter.needs_person)
      and (
          v_filter.sender is null
          or t.kind = 'row'
              and (t.business_id || ' ' || t.message_class = any (v_own)) <> v_is_default
      )
    order by t.updated_at desc, t.retry_id;
end
$$;
