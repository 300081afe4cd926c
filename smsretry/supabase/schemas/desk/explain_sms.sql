-- For a person: what happened to a text, why, and what comes next; newest first. Found by exactly one of row, send log,
-- customer, number, or last digits (three at least) at a business. A scheduled send without a text is found by its own id or
-- its customer. Columns: smsretry.text_on_record.
create or replace function public.explain_sms(
    retry_id uuid default null, send_log_id uuid default null, customer_id uuid default null, phone text default null,
    business_id uuid default null, last_digits text default null, row_limit integer default 20
)
returns setof smsretry.text_on_record
language plpgsql stable security invoker set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_variable
declare
    v_people uuid[];
    v_ids uuid[];
    v_scheduled uuid[];
begin
    if num_nonnulls(retry_id, send_log_id, customer_id, phone, last_digits) <> 1
        or last_digits is not null and (business_id is null or last_digits !~ '^[0-9]{3,15}$')
        or (row_limit between 1 and 200) is not true then
        raise exception 'Say which text, in one way: retry_id, send_log_id, customer_id, phone, or business_id with last_digits (3 digits or more)'
            using errcode = 'SR422';
    end if;
    v_people := case
        when customer_id is not null then array[customer_id]
        when phone is not null then array(select c.id from public.customers c where c.phone = phone)
        when last_digits is not null then array(
            select c.id from public.customers c
            where c.business_id = business_id and c.phone like '%' || last_digits)
    end;
    v_ids := array(
        select q.id from public.sms_retry_queue q
        where (retry_id is null or q.id = retry_id)
          and (send_log_id is null or q.send_log_id = send_log_id)
          and (v_people is null or q.customer_id = any (v_people))
          and (business_id is null or q.business_id = business_id)
        order by q.created_at desc, q.id
        limit row_limit);
    v_scheduled := array(
        select s.id from public.scheduled_sends s
        where s.send_log_id is null and s.status in ('scheduled', 'cancelled', 'failed')
          and (retry_id is null or s.id = retry_id)
          and (send_log_id is null or s.id = send_log_id)
          and (v_people is null or s.customer_id = any (v_people))
          and (business_id is null or s.business_id = business_id)
        order by s.created_at desc, s.id
        limit row_limit);
    return query
    select e.* from (
        select r.* from smsretry.text_on_record r where r.retry_id = any (v_ids)
        union all
        select p.* from smsretry.scheduled_on_record p where p.retry_id = any (v_scheduled)
    ) e
    order by e.queued_at desc, e.retry_id
    limit row_limit;
end
$$;
