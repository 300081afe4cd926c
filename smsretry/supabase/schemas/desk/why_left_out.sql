-- Why an order does not touch a text that somebody named by id. ended: whether it is about texts that have ended. states: it
-- asks for.
create or replace function smsretry.why_left_out(id uuid, ended boolean, states text[], at timestamptz)
returns text language plpgsql stable set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_variable
declare
    v_row public.sms_retry_queue;
    v_state text;
begin
    select * into v_row from public.sms_retry_queue q where q.id = id;
    if v_row.id is null then
        v_state := (select s.status from public.scheduled_sends s where s.id = id);
        return coalesce('Scheduled send ' || id || ' is ' || v_state || coalesce(
            ': its text is row ' || (select q.id from public.sms_retry_queue q where q.send_log_id = id
                                     order by q.created_at desc limit 1), ''), 'There is no row ' || id);
    end if;
    v_state := smsretry.text_state(v_row, at);
    return case
        when v_state = 'sent' then 'It is sent already'
        when ended and v_state not in ('failed', 'cancelled') then 'It has not ended, it is ' || replace(v_state, '_', ' ')
        when not ended and v_state in ('failed', 'cancelled') then 'It has ended, it is ' || v_state || ': requeue it'
        when v_state <> all (states)
            then 'It is ' || v_state || ': ask for that state, too (--state ' || v_state || ', States in the form)'
        else 'It does not fit the rest of what was asked for'
    end;
end
$$;
