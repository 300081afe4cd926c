-- Make texts due now that wait for one of these reasons, because what they wait for has changed: the
-- next claim decides anew whether they may go. Returns how many. A row that somebody has locked at
-- this moment waits for its own time, and so does what is beyond `most`.
--   reasons: words of smsretry.why_code
--   customers, businesses: whose texts; without either, everybody's. Suspect ones only of a
--     customer, because no index has these few by business
--   most: null: all
create or replace function smsretry.release_texts(
    reasons text[],
    customers uuid[] default null,
    businesses uuid[] default null,
    most integer default null
)
returns integer
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    v_now constant timestamptz := smsretry.clock();
    v_released integer;
begin
    update public.sms_retry_queue q
    set scheduled_for = v_now, updated_at = v_now
    where q.id = any (
        array(
            select w.id
            from unnest(customers) c (id)
            cross join lateral (
                select o.id
                from public.sms_retry_queue o
                where o.customer_id = c.id
                  -- is true: by the customer's index alone
                  and (
                      o.work in ('texts', 'suspect')
                      and o.why_code = any (reasons)
                      and o.scheduled_for > v_now
                  ) is true
                for update skip locked
            ) w
            limit most
        )
            || array(
                select w.id
                from unnest(businesses) b (id)
                cross join lateral (
                    select o.id
                    from public.sms_retry_queue o
                    where o.business_id = b.id
                      and o.work = 'texts'
                      and o.why_code = any (reasons)
                      and o.scheduled_for > v_now
                    for update skip locked
                ) w
                limit most
            )
            || array(
                select o.id
                from public.sms_retry_queue o
                where customers is null
                  and businesses is null
                  and o.work = 'texts'
                  and o.why_code = any (reasons)
                  and o.scheduled_for > v_now
                limit most
                for update skip locked
            )
    );
    get diagnostics v_released = row_count;
    return v_released;
end
$$;
