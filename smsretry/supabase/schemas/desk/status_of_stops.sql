-- sms_status: what is stopped. sending: everybody's texts; environment: those of businesses without a sender of their own; else a
-- state, to which no marketing text goes. A business's own sender has a line of smsretry.status_of_senders.
create or replace function smsretry.status_of_stops()
returns setof jsonb language plpgsql stable set search_path = pg_catalog, pg_temp as $$
begin
    return query
    select jsonb_build_object(
        'part', 'stopped', 'oldest', s.since, 'told', s.why,
        'name', case when s.kind = 'state' then s.subject
                     when s.kind = 'sender' and exists (select from smsretry.business_senders) then 'environment' else 'sending' end)
    from smsretry.stops s
    where s.kind in ('everybody', 'state')
       or s.kind = 'sender' and exists (select from smsretry.senders e where e.id::text = s.subject and e.told_at is not null)
    order by s.kind = 'state', s.subject;
end
$$;
