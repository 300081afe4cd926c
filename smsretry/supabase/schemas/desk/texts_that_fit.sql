-- Find the texts and scheduled sends that fit a filter, those that changed last first.
--   which: an object; what it lacks filters nothing:
--     retry_ids, business_id, customer_id, code, why_code, states: of the text
--     since, until: it last changed then or later, then or earlier
create or replace function smsretry.texts_that_fit(which jsonb)
returns setof uuid
language plpgsql stable set search_path = pg_catalog, pg_temp
-- A generic plan would read the whole table.
set plan_cache_mode = force_custom_plan as $$
declare
    v_filter record;
    v_statuses text[];
begin
    if exists (
        select from jsonb_object_keys(which) k
        where k not in (
            'retry_ids',
            'business_id',
            'customer_id',
            'code',
            'why_code',
            'states',
            'since',
            'until'
        )
    )
        or which = '{}'
    then
        raise exception 'Say which texts: by rows (retry_ids), business_id, customer_id, code, why_code, states, since or until'
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
        until timestamptz
    );
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
      and (v_filter.code is null or t.code = v_filter.code)
      and (v_filter.why_code is null or t.why_code = v_filter.why_code)
      and (v_filter.since is null or t.updated_at >= v_filter.since)
      and (v_filter.until is null or t.updated_at <= v_filter.until)
      and (v_filter.states is null or t.state = any (v_filter.states))
    order by t.updated_at desc, t.retry_id;
end
$$;
