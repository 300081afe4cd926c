-- Explain to a person what happened to a text, why, and what comes next (smsretry.text_on_record);
-- newest first. Where the queue has none: what the application sent itself.
--   id: of a row, a scheduled send, a send log, an attempt or a customer
--   phone, last_digits: the whole number, or its last four digits
--   sid: of a message
create or replace function public.explain_sms(
    id uuid default null,
    phone text default null,
    row_limit integer default 20,
    sid text default null,
    last_digits text default null
)
returns setof smsretry.text_on_record
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_custom_plan
set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off set jit = off
as $$
#variable_conflict use_variable
declare
    -- In each array, because PostgreSQL takes any partial index for one that has all rows of an
    -- empty array.
    k_nobody constant uuid := '00000000-0000-0000-0000-000000000000';
    v_people uuid[];
    v_ids constant uuid[] := array(
        select id
        union all
        select a.retry_id
        from public.sms_send_attempts a
        where a.id = id
        union all
        select a.retry_id
        from public.sms_send_attempts a
        where a.twilio_sid = sid
    );
    v_is_own boolean;
begin
    if num_nonnulls(id, phone, sid, last_digits) <> 1
        or last_digits !~ '^[0-9]{4}$'
        or (row_limit between 1 and 200) is not true
    then
        raise exception 'Say which text, in one way: id, phone, sid or last_digits (four); row_limit is 1 to 200'
            using errcode = 'SR422';
    end if;
    v_people := case
        when phone is not null
            then array(
                select c.id
                from public.customers c
                where c.phone = phone
            )
        when last_digits is not null
            then array(
                select c.id
                from public.customers c
                where right(c.phone, 4) = last_digits
            )
        else array[id]
    end;
    foreach v_is_own in array array[false, true] loop
        return query
        select t.*
        from smsretry.text_on_record t
        where (t.kind = 'send log') = v_is_own
          and (
              t.retry_id = any (v_ids || k_nobody)
              or t.send_log_id = id
              or t.customer_id = any (v_people || k_nobody)
          )
        order by t.queued_at desc, t.retry_id
        limit row_limit;
        exit when found;
    end loop;
end
$$;
