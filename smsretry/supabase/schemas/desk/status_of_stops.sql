-- sms_status: what is stopped. sending: everybody's texts; environment: those of businesses without a sender of their own.
create or replace function smsretry.status_of_stops()
returns setof jsonb language plpgsql stable set search_path = pg_catalog, pg_temp as $$
begin
    return query
    select jsonb_build_object(
        'part', 'stopped', 'oldest', c.opened_at, 'told', c.why,
        'name', case when c.sender <> '' and exists (select from smsretry.business_senders) then 'environment' else 'sending' end)
    from smsretry.circuits() c where not c.own
    union all
    (select jsonb_build_object('part', 'stopped', 'name', s.state, 'oldest', s.stopped_at, 'told', s.why)
     from smsretry.stopped_states s order by s.state);
end
$$;
