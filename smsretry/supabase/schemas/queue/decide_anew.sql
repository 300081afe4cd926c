-- Where somebody lives, or when their business may text, has changed. What was put off or held because of it is due: the next run
-- decides anew. A row that somebody has locked at this moment waits for its own time. security definer, because tenants write
-- customers and businesses, and no rows of others'.
create or replace function smsretry.decide_anew()
returns trigger language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    v_now constant timestamptz := smsretry.clock();
    v_waits constant text[] := array['quiet_hours', 'number_spelling', 'no_time_zone', 'no_opening', 'hours_unreadable'];
    v_ids uuid[];
begin
    if tg_table_name = 'customers' then
        select array_agg(w.id) into v_ids from (
            select q.id from public.sms_retry_queue q
            where q.customer_id = new.id and q.work in ('texts', 'suspect') and q.scheduled_for > v_now
              and q.why_code = any (v_waits)
            for update skip locked) w;
    else
        select array_agg(w.id) into v_ids from (
            select q.id from public.sms_retry_queue q
            where q.business_id = new.id and q.work = 'texts' and q.scheduled_for > v_now
              and q.why_code = any (v_waits)
            for update skip locked) w;
    end if;
    update public.sms_retry_queue q set scheduled_for = v_now, updated_at = v_now where q.id = any (v_ids);
    return null;
end
$$;
