-- Claim these rows, which the caller has found pending and locked, and return those that could be claimed. by_application:
-- smsretry.take_row. If a trigger of the application's is slow for one business, or refuses a row, that row stays pending,
-- its business is set apart, and the others are claimed. What there was no time for stays pending, too.
create or replace function smsretry.take(ids uuid[], at timestamptz, by_application boolean default false)
returns setof smsretry.claimed_retry
language plpgsql set search_path = pg_catalog, pg_temp
set lock_timeout = '500ms' -- for what a trigger waits for
-- Without statistics a plan would read whole tables.
set enable_hashjoin = off set enable_mergejoin = off set jit = off as $$
declare
    v_until constant timestamptz := clock_timestamp() + interval '1 second';
    v_order uuid[];
    v_owners uuid[];
    v_apart uuid[];
    v_began timestamptz;
    v_took uuid[] := '{}';
    v_whose uuid[] := '{}';
    v_skip uuid[] := '{}';
    v_tried integer := 0;
    v_state text;
begin
    -- Of a business that is set apart, one row after the others, and another one each time: not all may be slow.
    select array_agg(o.id order by o.apart, o.place), array_agg(o.business_id order by o.apart, o.place),
           array_agg(o.business_id) filter (where o.apart)
    into v_order, v_owners, v_apart
    from (
        select q.id, q.business_id, i.place, s.business_id is not null as apart, s.retry_at,
               row_number() over (partition by q.business_id order by md5(q.id::text || take.at::text)) as nth
        from unnest(take.ids) with ordinality as i (id, place)
        join public.sms_retry_queue q on q.id = i.id
        left join smsretry.set_apart s on s.business_id = q.business_id
    ) o
    where not o.apart or (o.nth = 1 and o.retry_at <= take.at);

    begin
        for n in 1 .. coalesce(cardinality(v_order), 0) loop
            v_began := clock_timestamp();
            exit when v_began > v_until;
            continue when v_owners[n] = any (v_skip);
            v_tried := n;
            if smsretry.take_row(v_order[n], take.at, take.by_application) then
                v_took := v_took || v_order[n];
                v_whose := v_whose || v_owners[n];
            end if;
            if smsretry.took_long(v_began) then
                v_skip := v_skip || v_owners[n];
                perform smsretry.set_business_apart(v_owners[n], v_began, null, take.at);
            elsif v_owners[n] = any (v_apart) then
                delete from smsretry.set_apart s where s.business_id = v_owners[n];
            end if;
        end loop;
        set constraints all immediate; -- what is only asked at the end would undo all of them
    exception
        when query_canceled then
            v_state := sqlstate;
        when others then
            v_state := sqlstate;
    end;
    if v_state = '57014' then
        -- The statement timeout does not start again: only what was quick is repeated.
        perform smsretry.set_business_apart(v_owners[v_tried], v_began, v_state, take.at);
        v_took := smsretry.take_each(v_took, v_whose, take.at, take.by_application);
    elsif v_state is not null then
        v_took := smsretry.take_each(v_order, v_owners, take.at, take.by_application);
    end if;
    -- Planned each time: PostgreSQL 15 would keep a plan that walks a whole index, if the tables were small when it was made.
    return query execute
    'select r.* from smsretry.claimed_retry r where r.id = any ($1) order by r.scheduled_for, r.id' using v_took;
end
$$;
