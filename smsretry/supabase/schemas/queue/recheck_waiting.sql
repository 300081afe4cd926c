-- Make texts due that wait because of a customer's place or a business's hours, which have changed:
-- the next run decides anew. A row that somebody has locked at this moment waits for its own time;
-- so does a suspect one when its business changes, because no index has these few by business.
-- security definer, because tenants write customers and businesses, and no rows of others'.
create or replace function smsretry.recheck_waiting()
returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
    v_now constant timestamptz := smsretry.clock();
    v_waits constant text[] := smsretry.reasons_of('place');
begin
    update public.sms_retry_queue q
    set scheduled_for = v_now, updated_at = v_now
    where q.id = any (
        array(
            select w.id
            from public.sms_retry_queue w
            where tg_table_name = 'customers'
              and w.customer_id = new.id
              and w.work in ('texts', 'suspect')
              and w.scheduled_for > v_now
              and w.why_code = any (v_waits)
            for update skip locked
        )
            || array(
                select w.id
                from public.sms_retry_queue w
                where tg_table_name = 'businesses'
                  and w.business_id = new.id
                  and w.work = 'texts'
                  and w.scheduled_for > v_now
                  and w.why_code = any (v_waits)
                for update skip locked
            )
    );
    return null;
end
$$;
