-- Texts that wait because of their sender are due at once, of these businesses; returns how many. Whether they may go is
-- decided when they are claimed. The order that calls this must not fail or last for their sake: one that somebody has locked,
-- those of a business whose rules refuse it, and what does not fit into three seconds wait for their own time.
create or replace function smsretry.hurry_texts(business_ids uuid[])
returns integer language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    v_now constant timestamptz := smsretry.clock();
    v_until constant timestamptz := clock_timestamp() + interval '3 seconds';
    v_business uuid;
    v_row public.sms_retry_queue;
    v_texts integer;
    v_all integer := 0;
begin
    foreach v_business in array hurry_texts.business_ids loop
        v_texts := 0;
        begin
            for v_row in
                select q.* from public.sms_retry_queue q
                where q.business_id = v_business and q.work = 'texts'
                  and q.scheduled_for > v_now
                  and q.why_code in ('sender_paused', 'no_credentials', 'day_spent', 'account_refused', 'sending_stopped')
                order by q.id for update skip locked
            loop
                exit when clock_timestamp() > v_until;
                perform smsretry.save_row(v_row, v_now, due => v_now);
                v_texts := v_texts + 1;
            end loop;
            v_all := v_all + v_texts;
        exception when others then
            raise warning 'The texts of business % wait for their own time: %', v_business, sqlstate;
        end;
    end loop;
    return v_all;
end
$$;
