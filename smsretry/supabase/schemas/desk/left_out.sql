-- Why an order does not touch rows that somebody named by id: a line each, as smsretry.change_of_row. rows: the lines of those
-- that it looked at. live: whether it is about texts that wait, or about those that have ended. states: it asks for; null: all.
create or replace function smsretry.left_out(
    retry_ids uuid[], rows jsonb[], live boolean, states text[], at timestamptz
)
returns jsonb[] language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
    v_id uuid;
    v_row public.sms_retry_queue;
    v_state text;
    v_skip text;
    v_lines jsonb[] := '{}';
begin
    for v_id in
        select i.id from unnest(left_out.retry_ids) i (id)
        except
        select (r.told ->> 'retry_id')::uuid from unnest(left_out.rows) r (told)
        order by 1
    loop
        select * into v_row from public.sms_retry_queue q where q.id = v_id;
        if v_row.id is null then
            v_state := (select s.status from public.scheduled_sends s where s.id = v_id);
            -- A line without a row's id is counted as left alone, and not as a row.
            v_lines := v_lines || jsonb_build_object('skipped', coalesce('Scheduled send ' || v_id || ' is ' || v_state || coalesce(
                ': its text is row ' || (select q.id from public.sms_retry_queue q where q.send_log_id = v_id
                                         order by q.created_at desc limit 1), ''), 'There is no row ' || v_id));
            continue;
        end if;
        v_state := smsretry.text_state(v_row, left_out.at);
        v_skip := case
            when v_state = 'sent' then 'It is sent already'
            when (v_state in ('failed', 'cancelled')) is not distinct from left_out.live then case
                when left_out.live then 'It has ended, it is ' || v_state || ': requeue it'
                else 'It has not ended, it is ' || replace(v_state, '_', ' ') end
            when v_state <> all (left_out.states)
                then 'It is ' || v_state || ': ask for that state, too (--state ' || v_state || ', States in the form)'
            else 'It does not fit the rest of what was asked for'
        end;
        v_lines := v_lines || smsretry.change_of_row(v_row, coalesce(v_row.why, v_row.last_error), v_skip);
    end loop;
    return v_lines;
end
$$;
