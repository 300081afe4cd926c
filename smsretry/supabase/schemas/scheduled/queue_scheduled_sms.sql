-- Queue the scheduled sends that are due, limit_count at most (smsretry.rows_of_claim), of the 4 ×
-- as many (800 at least) that have waited longest; who was served longest ago goes first. Each is a
-- subtransaction of its own: send log, queue row and status, or none of them. May be repeated.
--   ahead: also those that are due within this; null: now
--   life: how long a text is of use from its time on, if it does not say so; null: its claim says
--     so
--   without: scheduled sends that were held just now, and businesses that are locked or slow: they
--     are left out
--   result:
--     queued, cancelled: as it says
--     failed: why says the reason
--     held: why says what a person can mend. If a trigger or a rule refuses even that, only this
--       answer says so, and the next call finds the row due again
--     later: its business is locked now, whose other texts are passed over; or one of its triggers
--       took all the time of the call, which ends there
create or replace function public.queue_scheduled_sms(
    limit_count integer default null,
    ahead interval default null,
    life interval default null,
    without uuid[] default '{}'
)
returns table (
    scheduled_id uuid,
    business_id uuid,
    customer_id uuid,
    result text,
    why text,
    retry_id uuid,
    why_code text
)
language plpgsql set search_path = pg_catalog, pg_temp
set enable_sort = off set jit = off
-- If a long transaction holds the business locked, its texts wait, and not the others.
-- statement_timeout: as claim_due_sms_retries
set lock_timeout = '1s' set statement_timeout = '8s' as $$
#variable_conflict use_column
declare
    v_now constant timestamptz := smsretry.clock();
    v_limit constant integer := smsretry.rows_of_claim(limit_count);
    v_until constant timestamptz := v_now + least(
        greatest(coalesce(ahead, interval '0'), interval '0'),
        interval '1 hour'
    );
    v_latest timestamptz := clock_timestamp() + interval '3 seconds';
    v_oldest record;
    v_id uuid;
    v_send public.scheduled_sends;
    v_served uuid[] := '{}';
    v_busy uuid[] := '{}';
    v_table text;
    v_column text;
    v_rule text;
begin
    select
        array_agg(o.id) as ids,
        array_agg(o.business_id) as businesses
    into v_oldest
    from (
        select s.id, s.business_id
        from public.scheduled_sends s
        where s.status = 'scheduled'
          and coalesce(s.look_at, s.scheduled_for) <= v_until
          and s.id <> all (without)
          and s.business_id <> all (without)
        order by coalesce(s.look_at, s.scheduled_for), s.id
        limit 4 * greatest(v_limit, 200)
    ) o;
    foreach v_id in array smsretry.in_turn(
        'scheduled',
        v_oldest.ids,
        v_oldest.businesses
    ) loop
        exit when cardinality(v_served) >= v_limit
            or clock_timestamp() > v_latest; -- the next call takes the rest
        select *
        into v_send
        from public.scheduled_sends s
        where s.id = v_id
          -- is true: by its id alone
          and (
              s.status = 'scheduled'
              and coalesce(s.look_at, s.scheduled_for) <= v_until
              and s.business_id <> all (v_busy)
          ) is true
        for update skip locked;
        continue when not found;
        v_served := v_served || v_send.business_id;
        scheduled_id := v_send.id;
        business_id := v_send.business_id;
        customer_id := v_send.customer_id;
        result := 'later';
        why := null;
        retry_id := null;
        why_code := null;
        begin
            select q.result, q.why, q.retry_id, q.why_code
            into result, why, retry_id, why_code
            from smsretry.queue_scheduled(v_send, v_now, life) q;
        exception
            when query_canceled then
                v_latest := '-infinity'; -- the time is over and is not counted again
            when lock_not_available or deadlock_detected or serialization_failure then
                v_busy := v_busy || v_send.business_id;
            when others then
                get stacked diagnostics
                    v_table = table_name,
                    v_column = column_name,
                    v_rule = constraint_name;
                result := 'held';
                why_code := 'row_refused';
                -- The database's own message may quote the row. Ours, with an SR code, hold only ids.
                why := 'Its text cannot be made: '
                    || case
                        when sqlstate like 'SR%' then sqlerrm
                        else array_to_string(
                            array_remove(array[sqlstate, v_table, v_column, v_rule], ''),
                            ', '
                        )
                            || '. Look at what send_logs and scheduled_sends require beyond smsretry''s columns, and at their triggers'
                    end;
        end;
        if result = 'held' or v_send.business_id = any (v_busy) then
            begin
                -- The next run tries others of its business first.
                update public.scheduled_sends s
                set
                    look_at = v_until + case queue_scheduled_sms.result
                        when 'held' then interval '13 minutes'
                        else interval '30 seconds'
                    end,
                    held_since = coalesce(
                        s.held_since,
                        case queue_scheduled_sms.result when 'held' then v_now end
                    ),
                    why = coalesce(
                        left(queue_scheduled_sms.why, smsretry.longest_reason()),
                        s.why
                    ),
                    why_code = coalesce(queue_scheduled_sms.why_code, s.why_code)
                where s.id = v_id;
                set constraints all immediate;
            exception
                when others then
                    result := 'held';
                    why_code := 'row_refused';
                    why := concat_ws(
                        '. ',
                        why,
                        'Its row cannot be changed (' || sqlstate
                            || '): fix the row, or look at the triggers and rules of scheduled_sends'
                    );
            end;
        end if;
        return next;
    end loop;
    if cardinality(v_served) < cardinality(v_oldest.ids) then
        perform smsretry.note_served('scheduled', v_served, v_now);
    end if;
end
$$;
