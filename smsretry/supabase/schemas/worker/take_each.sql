-- Claim rows one by one, because one of them could not be written: it stays as it is, and its business is set apart. owners:
-- the rows' businesses. Returns those that were claimed.
create or replace function smsretry.take_each(ids uuid[], owners uuid[], at timestamptz, by_application boolean)
returns uuid[] language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    v_began timestamptz;
    v_took uuid[] := '{}';
    v_skip uuid[] := '{}';
begin
    for n in 1 .. coalesce(cardinality(take_each.ids), 0) loop
        continue when take_each.owners[n] = any (v_skip);
        v_began := clock_timestamp();
        begin
            if smsretry.take_row(take_each.ids[n], take_each.at, take_each.by_application) then
                v_took := v_took || take_each.ids[n];
            end if;
            set constraints all immediate; -- a deferred check would undo the others, too
        exception
            when query_canceled then -- no time is left, and it is not counted again
                perform smsretry.set_business_apart(take_each.owners[n], v_began, sqlstate, take_each.at);
                exit;
            when others then
                perform smsretry.set_business_apart(take_each.owners[n], v_began, sqlstate, take_each.at);
                if smsretry.took_long(v_began) then
                    v_skip := v_skip || take_each.owners[n]; -- it waits for something: so would its other rows
                end if;
        end;
    end loop;
    return v_took;
end
$$;
