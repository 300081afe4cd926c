-- The texts and scheduled sends that fit a filter, those that changed last first. which: an object with retry_ids, business_id,
-- customer_id, code, why_code, states, since and until (when it last changed); what it lacks filters nothing.
create or replace function smsretry.texts_that_fit(which jsonb)
returns setof uuid language plpgsql stable set search_path = pg_catalog, pg_temp
-- A generic plan would read the whole table.
set plan_cache_mode = force_custom_plan as $$
declare
    v_now constant timestamptz := smsretry.clock();
    w record;
    v_statuses text[];
    v_held boolean;
begin
    if exists (select from jsonb_object_keys(which) k where k not in (
            'retry_ids', 'business_id', 'customer_id', 'code', 'why_code', 'states', 'since', 'until')) or which = '{}' then
        raise exception 'Say which texts: by retry_ids, business_id, customer_id, code, why_code, states, since or until'
            using errcode = 'SR422';
    end if;
    select * into w from jsonb_to_record(which) f (
        retry_ids uuid[], business_id uuid, customer_id uuid, code integer, why_code text, states text[], since timestamptz, until timestamptz);
    v_statuses := array(select unnest(case s when 'sent' then array['completed'] when 'under_way' then array['processing']
                                             when 'in_doubt' then array['pending', 'processing']
                                             when 'failed' then array['failed'] when 'cancelled' then array['cancelled']
                                             else array['pending'] end)
                        from unnest(coalesce(w.states, '{sent,under_way,in_doubt,failed,cancelled}')) s);
    v_held := w.states = '{held}';
    return query
    select f.id from (
        select q.id, q.updated_at from public.sms_retry_queue q
        -- is not false: by the ids or the customer alone; with old statistics an index of all live rows is walked
        where case when num_nonnulls(w.retry_ids, w.customer_id) = 0 then q.status = any (v_statuses)
                   else (q.status = any (v_statuses)) is not false end
          and (w.retry_ids is null or q.id = any (w.retry_ids))
          and (w.business_id is null or q.business_id = w.business_id)
          and (w.customer_id is null or q.customer_id = w.customer_id)
          and (w.code is null or q.error_code = w.code)
          and (w.why_code is null or q.why_code = w.why_code)
          and (w.since is null or q.updated_at >= w.since)
          and (w.until is null or q.updated_at < w.until)
          and (v_held is not true or q.held_since is not null)
          and (w.states is null or smsretry.text_state(q, v_now) = any (w.states))
        union all
        select s.id, s.updated_at from public.scheduled_sends s
        join smsretry.scheduled_on_record r on r.retry_id = s.id
        where w.code is null
          and (w.retry_ids is null or s.id = any (w.retry_ids))
          and (w.business_id is null or s.business_id = w.business_id)
          and (w.customer_id is null or s.customer_id = w.customer_id)
          and (w.why_code is null or r.why_code = w.why_code)
          and (w.since is null or s.updated_at >= w.since)
          and (w.until is null or s.updated_at < w.until)
          and (w.states is null or r.state = any (w.states))
    ) f
    order by f.updated_at desc, f.id;
end
$$;
