-- Texts and scheduled sends as a list shows them, in the order of the ids. at: when it is looked at next, or when it ended.
create or replace function smsretry.listed_texts(ids uuid[])
returns table (
    retry_id uuid, business_id uuid, business text, customer_id uuid, number text, message_class text, attempts integer, state text,
    at timestamptz, why text, why_code text
)
language plpgsql stable set search_path = pg_catalog, pg_temp set plan_cache_mode = force_custom_plan as $$
begin
    return query
    select r.retry_id, r.business_id, r.business, r.customer_id, r.number, r.message_class::text, r.attempts::integer, r.state,
           coalesce(r.next_at, r.since), r.why, r.why_code::text
    from (select t.* from smsretry.text_on_record t where t.retry_id = any (listed_texts.ids)
          union all
          select s.* from smsretry.scheduled_on_record s where s.retry_id = any (listed_texts.ids)) r
    order by array_position(listed_texts.ids, r.retry_id);
end
$$;
