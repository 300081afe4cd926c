-- Make several calls of lease_sms_time as one request, for workers with many senders. leases: [{"sender", "segments",
-- "per_second", "lead"}]. Sorted by sender, so that two requests do not deadlock. What somebody has locked, or what is wrong,
-- gets no answer, and its worker asks for it alone. A locked sender is waited for a moment once, and then hardly at all.
--   place: in the array, from 1
create or replace function public.lease_sms_times(leases jsonb)
returns table (place integer, begins_at timestamptz, asked_at timestamptz)
language plpgsql security invoker set search_path = pg_catalog, pg_temp
set lock_timeout = '200ms' as $$
#variable_conflict use_column
declare
    v_lease record;
begin
    if (jsonb_typeof(lease_sms_times.leases) = 'array' and jsonb_array_length(lease_sms_times.leases) between 1 and 100) is not true then
        raise exception 'leases must be an array of 1 to 100 leases' using errcode = 'SR422';
    end if;
    for v_lease in
        select e.value, e.ordinality::integer as place from jsonb_array_elements(lease_sms_times.leases) with ordinality e
        order by e.value ->> 'sender' collate "C", e.ordinality
    loop
        begin
            return query
            select v_lease.place, l.begins_at, l.asked_at
            from public.lease_sms_time(
                v_lease.value ->> 'sender', (v_lease.value ->> 'segments')::integer,
                (v_lease.value ->> 'per_second')::double precision, (v_lease.value ->> 'lead')::double precision) l;
        exception when others then
            if sqlstate = '55P03' then
                perform set_config('lock_timeout', '10ms', true);
            end if;
        end;
    end loop;
end
$$;
