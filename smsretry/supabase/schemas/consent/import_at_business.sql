-- Record opt-outs that come from elsewhere at one business: smsretry.judge_opt_outs says what each means. A number whose row or
-- customers somebody holds locked, or may not be changed, keeps no other from opting out: unwritten_consents keeps it, so it
-- holds at once. All together wait for locks for one second.
--   lines: recorded, known, outlived and unreadable together are all · customers: marked now · cancelled: texts that waited
--   unmarked: customers who could not be marked · notes: of each line that is not recorded, the line and why
create or replace function smsretry.import_at_business(
    business_id uuid, opt_outs jsonb, as_of timestamptz, dry_run boolean, source text, who text, because text,
    out recorded integer, out known integer, out customers integer, out cancelled integer, out unmarked integer,
    out undated integer, out notes jsonb
)
language plpgsql set search_path = pg_catalog, pg_temp set lock_timeout = '1s' as $$
#variable_conflict use_variable
declare
    v_until constant timestamptz := clock_timestamp() + interval '1 second';
    v_said record;
    v_ended record;
    v_keys bytea[] := '{}';
    v_dates timestamptz[] := '{}';
begin
    recorded := 0; known := 0; customers := 0; cancelled := 0; unmarked := 0; undated := 0; notes := '[]';
    for v_said in select * from smsretry.judge_opt_outs(business_id, opt_outs, as_of) loop
        undated := undated + v_said.undated;
        if v_said.fate in ('unreadable', 'outlived') then
            notes := notes || jsonb_build_object(
                'line', v_said.line, 'what', v_said.fate, 'lines', v_said.lines, 'customer_id', v_said.customer_id,
                'business_id', case when v_said.fate = 'outlived' then business_id end);
            continue;
        end if;
        known := known + case when v_said.fate = 'known' then v_said.lines else v_said.lines - 1 end;
        continue when v_said.fate = 'known';
        recorded := recorded + 1;
        if dry_run then
            customers := customers + v_said.customers;
            cancelled := cancelled + v_said.texts;
        elsif v_said.fate = 'record' then
            v_keys := v_keys || v_said.number_key;
            v_dates := v_dates || v_said.at;
        else
            perform set_config('lock_timeout', greatest(
                ceil(extract(epoch from v_until - clock_timestamp()) * 1000), 1) || 'ms', true);
            begin
                perform smsretry.lock_customers(business_id, v_said.phone);
                v_said.customer_id := smsretry.later_opt_in(business_id, v_said.phone, v_said.number_key, v_said.at);
                if v_said.customer_id is not null then -- said yes since this call looked
                    recorded := recorded - 1;
                    notes := notes || jsonb_build_object(
                        'line', v_said.line, 'what', 'outlived', 'lines', 1, 'customer_id', v_said.customer_id,
                        'business_id', business_id);
                    continue;
                end if;
                select * into v_ended
                from smsretry.set_consent(business_id, null, v_said.phone, 'opted_out', source, v_said.at);
                customers := customers + v_ended.customers;
                cancelled := cancelled + v_ended.cancelled;
                perform smsretry.keep_consent_step(
                    business_id, v_said.phone, null, 'opted_out', smsretry.clock(), who, because);
            exception when others then
                raise warning 'Customers of business % could not be marked as opted out yet: %', business_id, sqlstate;
                perform smsretry.keep_unwritten(v_said.number_key, business_id, 'opted_out', v_said.at, source);
                unmarked := unmarked + v_said.customers;
            end;
        end if;
    end loop;
    begin
        -- As smsretry.suppress, for many: a block for each would cost a subtransaction each.
        insert into smsretry.suppressions as s (number_key, business_id, since, source)
        select k.number_key, business_id, k.since, source from unnest(v_keys, v_dates) k (number_key, since)
        on conflict (number_key) do update
        set since = greatest(s.since, excluded.since),
            source = case when smsretry.start_takes_back(s.source) or s.since < excluded.since then excluded.source else s.source end
        where s.since < excluded.since or smsretry.start_takes_back(s.source);
    exception when others then
        raise warning 'Opt-outs of business % could not be written where they belong yet: %', business_id, sqlstate;
        perform smsretry.keep_unwritten(k.number_key, business_id, 'opted_out', k.since, source)
        from unnest(v_keys, v_dates) k (number_key, since);
    end;
end
$$;
