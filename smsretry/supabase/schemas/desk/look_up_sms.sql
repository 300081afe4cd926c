-- For a person who found no text: what an id is of, or which customers have a number, or last digits at a business. In one way.
--   kind: text, attempt (row_id: the text's), scheduled_send, send_log, customer, business or sender · of a send log: channel,
--   status, sid, at (when it was made), why (its error) · of a customer: texts (that the application sent itself, up to 1000),
--   and sid and at of the last of them
create or replace function public.look_up_sms(
    id uuid default null, phone text default null, at_business uuid default null, last_digits text default null
)
returns table (
    kind text, row_id uuid, business_id uuid, business text, customer_id uuid, number text, channel text, status text, sid text,
    at timestamptz, why text, texts bigint
)
language plpgsql stable security invoker set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
declare
    v_id constant uuid := look_up_sms.id;
    v_phone constant text := look_up_sms.phone;
    v_business constant uuid := look_up_sms.at_business;
    v_digits constant text := look_up_sms.last_digits;
begin
    if num_nonnulls(v_id, v_phone, v_digits) <> 1 or v_digits is not null and (v_business is null or v_digits !~ '^[0-9]{3,15}$') then
        raise exception 'Say what to look up, in one way: id, phone, or at_business with last_digits (3 digits or more)'
            using errcode = 'SR422';
    end if;
    return query
    with found as (
        select 'text' as kind, q.id as row_id, q.business_id, q.customer_id from public.sms_retry_queue q where q.id = v_id
        union all
        select 'attempt', a.retry_id, a.business_id, null from public.sms_send_attempts a where a.id = v_id
        union all
        select 'scheduled_send', s.id, s.business_id, s.customer_id from public.scheduled_sends s where s.id = v_id
        union all
        select 'send_log', l.id, l.business_id, l.customer_id from public.send_logs l where l.id = v_id
        union all
        (select 'customer', n.id, n.business_id, n.id
         from (select c.id, c.business_id from public.customers c
               where c.id = v_id or c.phone = v_phone and v_phone is not null and (v_business is null or c.business_id = v_business) is true
                  or v_digits is not null and c.business_id = v_business and c.phone like '%' || v_digits
               offset 0) n -- or all customers are walked in this order
         order by n.id limit 20)
        union all
        select 'business', b.id, b.id, null from public.businesses b where b.id = v_id
        union all
        select 'sender', o.id, null, null from smsretry.senders o where o.id = v_id
    )
    select f.kind, f.row_id, f.business_id, left(b.name, 200), f.customer_id, smsretry.masked(left(c.phone, 40)),
           left(l.channel::text, 40), left(smsretry.numberless(l.status::text), 40),
           left(smsretry.numberless(coalesce(smsretry.found_sid(l.provider_message_id), o.sid)), 40), smsretry.on_calendar(coalesce(l.created_at, o.at)),
           left(smsretry.numberless(left(l.error_message, 1000)), smsretry.longest_reason()), coalesce(o.texts, 0)
    from found f
    left join public.businesses b on b.id = f.business_id
    left join public.customers c on c.id = f.customer_id
    left join public.send_logs l on f.kind = 'send_log' and l.id = f.row_id
    left join lateral (
        select count(*) as texts, max(t.created_at) as at, (array_agg(t.sid order by t.created_at desc))[1] as sid
        from (select s.created_at, smsretry.found_sid(s.provider_message_id) as sid from public.send_logs s
              where s.customer_id = f.customer_id and s.channel::text = 'sms' and smsretry.is_sent(s.provider_message_id, s.status::text)
                and not exists (select from public.sms_retry_queue q where q.send_log_id = s.id) limit 1000) t) o on f.kind = 'customer';
end
$$;
