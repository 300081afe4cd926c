-- Rehearse for `smsretry doctor` and `smsretry migrate`: one sample text ends completed, one failed, one cancelled.
-- Everything is rolled back, and no row of the application's is touched. ok is false if a step failed; advice says which, or
-- why it could not be tried now. A second row reports a failing scheduled send; it is ok, because no other text depends on
-- it.
create or replace function public.try_sms_retry_queue()
returns table (subject text, ok boolean, advice text)
language plpgsql security invoker set search_path = pg_catalog, pg_temp
set lock_timeout = '2s' as $$
declare
    v_ends text;
    v_failed record;
begin
    subject := 'rehearsal of queue, claim, begin and finish';
    ok := true;
    foreach v_ends in array array['completed', 'failed', 'cancelled'] loop
        select * into v_failed from smsretry.rehearse_text(v_ends);
        if v_failed.step is not null then
            -- No text to try with, or a lock: nothing is known to be wrong.
            ok := v_failed.state in ('SR000', '55P03', '40P01');
            advice := case when ok then 'could not be tried: ' else 'fails: ' end
                || v_failed.step || ' (' || v_failed.state || '): ' || left(v_failed.message, 300)
                || case when v_failed.state = '42501' then '. A grant is missing: run `smsretry migrate --again`' else '' end
                || smsretry.advice_on_triggers(v_failed.state, v_failed.context);
            exit;
        end if;
    end loop;
    return next;
    if not ok then
        return;
    end if;
    select * into v_failed from smsretry.rehearse_scheduled_send();
    if v_failed.step is not null then
        subject := 'rehearsal of a scheduled send';
        advice := 'fails: ' || v_failed.step || ' (' || v_failed.state || '): ' || left(v_failed.message, 300) || case v_failed.step
            when 'schedule_sms' then '. What the application inserts by itself is queued; for the call, give what is named a default'
            else '. Until that is fixed, scheduled sends are held and become no texts: give what is named a default, or look '
                || 'at the rules and triggers of send_logs and scheduled_sends' end
            || smsretry.advice_on_triggers(v_failed.state, v_failed.context);
        return next;
    end if;
end
$$;
