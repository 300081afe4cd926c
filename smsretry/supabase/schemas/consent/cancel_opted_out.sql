-- Cancel what waits for these customers, who have opted out; returns how many texts. One that is in doubt, under way or locked meets
-- the opt-out at its next begin. If a rule of the application's refuses one of them, none is cancelled yet.
create or replace function smsretry.cancel_opted_out(customer_ids uuid[])
returns integer language plpgsql set search_path = pg_catalog, pg_temp set lock_timeout = '200ms' as $$
declare
    v_waiting public.sms_retry_queue;
    v_cancelled integer := 0;
begin
    for v_waiting in
        select q.* from public.sms_retry_queue q
        where q.customer_id = any (cancel_opted_out.customer_ids)
          -- is true: by the customers alone; with old statistics an index of all that waits is walked
          and (q.status = 'pending' and q.in_doubt_since is null) is true
        order by q.id for update skip locked
    loop
        perform smsretry.close_row(v_waiting, 'cancelled', 'Customer opted out', 'opted_out', null, smsretry.clock());
        v_cancelled := v_cancelled + 1;
    end loop;
    return v_cancelled;
exception when others then
    raise warning 'Waiting texts of who opted out could not be cancelled yet: %', sqlstate;
    return 0;
end
$$;
