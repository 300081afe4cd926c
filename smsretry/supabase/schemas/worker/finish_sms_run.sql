-- Record that a run is done. False: the run is unknown. May be repeated. Then numbers in
-- smsretry.unmarked are tried again for two seconds, so that their customers' rows soon say what
-- was said.
--   summary: its numbers, for people
create or replace function public.finish_sms_run(
    run_id uuid,
    summary text,
    needs_attention boolean default false
)
returns boolean
language plpgsql set search_path = pg_catalog, pg_temp
as $$
declare
    v_is_known boolean;
    v_until timestamptz := clock_timestamp() + interval '2 seconds';
    v_number record;
begin
    update smsretry.runs r
    set
        finished_at = smsretry.clock(),
        summary = left(coalesce(finish_sms_run.summary, ''), smsretry.longest_reason()),
        needs_attention = coalesce(finish_sms_run.needs_attention, false)
    where r.id = finish_sms_run.run_id;
    v_is_known := found;
    for v_number in
        delete from smsretry.unmarked u
        where u.id = any (
            array(
                select o.id
                from smsretry.unmarked o
                where o.due <= smsretry.clock()
                order by o.due
                limit 100
                for update skip locked
            )
        )
        returning u.*
    loop
        select m.until
        into v_until
        from smsretry.mark_customers(
            v_number.businesses,
            v_number.phone,
            v_number.since,
            v_until
        ) m;
    end loop;
    return v_is_known;
end
$$;
