-- What opt-outs that come from elsewhere (import_sms_opt_outs) mean at one business, a line for each number:
--   unreadable: it is no number in E.164
--   known: an opt-out that is no earlier, and no easier to take back, holds already
--   outlived: customer_id opted in later, so nothing changes
--   mark: customers of the business have the number · record: none has
-- at: the latest that the number's lines say. Without a date, or with one that has not come, an opt-out is of as_of.
-- texts: that wait for its customers.
create or replace function smsretry.judge_opt_outs(business_id uuid, opt_outs jsonb, as_of timestamptz)
returns table (
    line bigint, phone text, at timestamptz, number_key bytea, fate text, customer_id uuid, customers integer, texts integer,
    undated integer, lines integer
)
language plpgsql stable set search_path = pg_catalog, pg_temp
-- A generic plan would read all customers.
set plan_cache_mode = force_custom_plan as $$
#variable_conflict use_column
begin
    return query
    with written as (
        select case when jsonb_typeof(e.value -> 'line') = 'number' and length(e.value ->> 'line') <= 15
                    then trunc((e.value ->> 'line')::numeric)::bigint else e.place end as line,
               case when e.value ->> 'phone' ~ '^[+][1-9][0-9]{6,14}$' then e.value ->> 'phone' end as phone,
               smsretry.instant_of(e.value ->> 'at') as at
        from jsonb_array_elements(judge_opt_outs.opt_outs) with ordinality e (value, place)
    ), dated as (
        select w.line, w.phone, case when w.at <= judge_opt_outs.as_of then w.at end as at from written w
    ), numbers as materialized ( -- each function once
        select min(d.line) as line, d.phone,
               case when bool_or(d.at is null) then judge_opt_outs.as_of else max(d.at) end as at,
               bool_or(d.at is null) as undated, count(*) filter (where d.at is null)::integer as undated_lines,
               count(*)::integer as lines,
               smsretry.number_key(judge_opt_outs.business_id, d.phone) as number_key
        from dated d where d.phone is not null group by d.phone
    ), found as materialized (
        select n.*, c.customers, c.consenting,
               (select max(o.since)
                from (select s.since, s.source from smsretry.suppressions s where s.number_key = n.number_key
                      union all
                      select u.since, u.source from smsretry.unwritten_consents u
                      where u.number_key = n.number_key and u.consent = 'opted_out') o
                where not smsretry.start_takes_back(o.source)) as opted_out_since
        from numbers n
        cross join lateral (
            select count(*)::integer as customers,
                   count(*) filter (where c.sms_consent_status::text is distinct from 'opted_out')::integer as consenting
            from public.customers c
            -- is true: by the number alone, and not also by the index of business_id, where a business may have very many
            where c.phone = n.phone and (c.business_id = judge_opt_outs.business_id) is true) c
    ), judged as materialized (
        select f.*,
               f.consenting = 0 and f.opted_out_since is not null and (f.undated or f.opted_out_since >= f.at) as known,
               case when f.consenting > 0
                    then smsretry.later_opt_in(judge_opt_outs.business_id, f.phone, f.number_key, f.at) end as opted_in
        from found f
    )
    select j.line, j.phone, j.at, j.number_key,
           case when j.known then 'known' when j.opted_in is not null then 'outlived'
                when j.customers > 0 then 'mark' else 'record' end,
           j.opted_in, j.customers,
           case when j.known or j.opted_in is not null or j.customers = 0 then 0 else (
               select count(*)::integer
               from public.customers c join public.sms_retry_queue q on q.customer_id = c.id
               where c.phone = j.phone and (c.business_id = judge_opt_outs.business_id) is true
                 and (q.status = 'pending' and q.in_doubt_since is null) is true) end,
           j.undated_lines, j.lines
    from judged j
    union all
    select d.line, null, null, null, 'unreadable', null, 0, 0, 0, 1 from dated d where d.phone is null
    order by 4, 1; -- two imports lock numbers in the same order
end
$$;
