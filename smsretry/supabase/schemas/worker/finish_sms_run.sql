-- A run is done; told: its numbers. False: the run is unknown. May be repeated.
create or replace function public.finish_sms_run(run_id uuid, told text, needs_somebody boolean default false)
returns boolean language plpgsql security invoker set search_path = pg_catalog, pg_temp as $$
begin
    update smsretry.runs r
    set finished_at = smsretry.clock(), told = left(coalesce(finish_sms_run.told, ''), smsretry.longest_reason()),
        needs_somebody = coalesce(finish_sms_run.needs_somebody, false)
    where r.id = finish_sms_run.run_id;
    return found;
end
$$;
