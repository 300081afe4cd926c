-- The rows that fit a filter, newest first. A null filters nothing. containing: last_error or why; since, until: updated_at.
create or replace function smsretry.chosen(
    statuses text[], retry_ids uuid[], business_id uuid, customer_id uuid, code integer, reason text, containing text,
    since timestamptz, until timestamptz, why_code text
)
returns setof public.sms_retry_queue language plpgsql stable set search_path = pg_catalog, pg_temp
-- A generic plan would read the whole table.
set plan_cache_mode = force_custom_plan as $$
begin
    if num_nonnulls(chosen.retry_ids, chosen.business_id, chosen.customer_id, chosen.code, chosen.reason,
                    nullif(btrim(chosen.containing), ''), chosen.since, chosen.until, chosen.why_code) = 0 then
        raise exception 'Say which texts: by retry_ids, business_id, customer_id, code, reason, why_code, containing, since or until'
            using errcode = 'SR422';
    end if;
    return query
    select q.* from public.sms_retry_queue q
    -- is not false: by the ids or the customer alone; with old statistics an index of all live rows is walked
    where case when num_nonnulls(chosen.retry_ids, chosen.customer_id) = 0 then q.status = any (chosen.statuses)
               else (q.status = any (chosen.statuses)) is not false end
      and (chosen.retry_ids is null or q.id = any (chosen.retry_ids))
      and (chosen.business_id is null or q.business_id = chosen.business_id)
      and (chosen.customer_id is null or q.customer_id = chosen.customer_id)
      and (chosen.code is null or q.error_code = chosen.code)
      and (chosen.reason is null or q.reason = chosen.reason)
      and (chosen.why_code is null or q.why_code = chosen.why_code)
      and (chosen.containing is null
           or strpos(lower(concat_ws(' ', q.last_error, q.why)), lower(chosen.containing)) > 0)
      and (chosen.since is null or q.updated_at >= chosen.since)
      and (chosen.until is null or q.updated_at < chosen.until)
    order by q.updated_at desc, q.id;
end
$$;
