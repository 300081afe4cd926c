-- For a person: what happened to a text, why, and what comes next; newest first. Found by exactly one of an id (of a row, a
-- scheduled send, a send log, an attempt or a customer), a number, or last digits (three at least) at a business; business_id
-- narrows. Where the queue has none: what the application sent itself. Columns: smsretry.text_on_record.
create or replace function public.explain_sms(
    id uuid default null, phone text default null, business_id uuid default null, last_digits text default null,
    row_limit integer default 20
)
returns setof smsretry.text_on_record
language plpgsql stable security invoker set search_path = pg_catalog, pg_temp set plan_cache_mode = force_custom_plan as $$
#variable_conflict use_variable
declare
    v_people uuid[];
    v_ids constant uuid[] := array(select id union all select a.retry_id from public.sms_send_attempts a where a.id = id);
    v_own boolean;
begin
    if num_nonnulls(id, phone, last_digits) <> 1
        or last_digits is not null and (business_id is null or last_digits !~ '^[0-9]{3,15}$')
        or (row_limit between 1 and 200) is not true then
        raise exception 'Say which text, in one way: id, phone, or business_id with last_digits (3 digits or more)' using errcode = 'SR422';
    end if;
    v_people := case
        when id is not null then array[id]
        when phone is not null then array(select c.id from public.customers c where c.phone = phone)
        else array(select c.id from public.customers c where c.business_id = business_id and c.phone like '%' || last_digits)
    end;
    foreach v_own in array array[false, true] loop
        return query
        select t.* from smsretry.text_on_record t
        where (t.kind = 'send log') = v_own and (business_id is null or t.business_id = business_id)
          and (t.retry_id = any (v_ids) or t.send_log_id = id or t.customer_id = any (v_people))
        order by t.queued_at desc, t.retry_id limit row_limit;
        exit when found;
    end loop;
end
$$;
