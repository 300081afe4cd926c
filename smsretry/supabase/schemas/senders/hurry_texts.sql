-- Texts that wait because of their sender are due at once, of these businesses; returns how many. Whether they may go is
-- decided when they are claimed. One that somebody has locked waits for its own time.
create or replace function smsretry.hurry_texts(business_ids uuid[])
returns integer language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    v_now constant timestamptz := smsretry.clock();
    v_row public.sms_retry_queue;
    v_texts integer := 0;
begin
    for v_row in
        select q.* from public.sms_retry_queue q
        where q.business_id = any (hurry_texts.business_ids) and q.status = 'pending' and q.in_doubt_since is null
          and q.scheduled_for > v_now and q.why_code in ('sender_paused', 'no_credentials', 'day_spent', 'account_refused', 'sending_stopped')
        order by q.id for update skip locked
    loop
        perform smsretry.put_back(v_row, v_now, v_now);
        v_texts := v_texts + 1;
    end loop;
    return v_texts;
end
$$;
