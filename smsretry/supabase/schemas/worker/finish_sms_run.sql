-- Record that a run is done. False: the run is unknown. May be repeated. Then customers whose rows
-- do not say yet what was said of them are marked, for two seconds.
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
begin
    update smsretry.runs r
    set
        finished_at = smsretry.clock(),
        summary = left(coalesce(finish_sms_run.summary, ''), smsretry.longest_reason()),
        needs_attention = coalesce(finish_sms_run.needs_attention, false)
    where r.id = finish_sms_run.run_id;
    v_is_known := found;
    perform smsretry.write_consent(
        array(
            select w.id
            from smsretry.consents w
            where w.mark_at <= smsretry.clock()
            order by w.mark_at
            limit 1000
        )
    );
    return v_is_known;
end
$$;
