-- Record what became of a text in doubt, as a person says it. With a SID it went out as that
-- message; without one it did not, and is sent again. If it expired in doubt, its send log then
-- says that it went out, or it stays ended and may be requeued. If it was queued anew, the newer
-- row is resolved. Answers resolved or not_in_doubt. With a SID it may be repeated.
create or replace function public.resolve_sms_doubt(
    retry_id uuid,
    twilio_sid text default null,
    who text default null,
    because text default null
)
returns text
language plpgsql set search_path = pg_catalog, pg_temp
as $$
declare
    v_row public.sms_retry_queue;
    v_attempt_id uuid;
begin
    if num_nonnulls(resolve_sms_doubt.who, resolve_sms_doubt.because) > 0 then
        perform smsretry.check_who_and_why(
            resolve_sms_doubt.who,
            resolve_sms_doubt.because
        );
    end if;
    -- The row of the text that is live and in doubt, or else the one that is named.
    select q.*
    into v_row
    from public.sms_retry_queue named
    join public.sms_retry_queue q
        on q.send_log_id = named.send_log_id
          and q.business_id = named.business_id
    where named.id = resolve_sms_doubt.retry_id
      and (
          q.id = named.id
          or named.status in ('failed', 'cancelled')
              and q.status in ('pending', 'processing')
              and q.in_doubt_since is not null
      )
    order by q.id = named.id
    limit 1
    for update of q;
    v_attempt_id := case
        when v_row.status = 'pending'
          and v_row.in_doubt_since is not null
            then v_row.attempt_id
        when v_row.status in ('failed', 'cancelled')
            then (
                select d.attempt_id
                from smsretry.earlier_doubt(v_row.send_log_id, v_row.business_id) d
            )
    end;
    if v_attempt_id is null then -- or a worker is looking at it at this moment
        return case
            when exists (
                select from public.sms_send_attempts a
                join public.sms_retry_queue q on q.id = a.retry_id
                where a.twilio_sid = resolve_sms_doubt.twilio_sid
                  and q.send_log_id = v_row.send_log_id
            )
                then 'resolved'
            else 'not_in_doubt'
        end;
    end if;
    if resolve_sms_doubt.twilio_sid is not null then
        perform public.settle_sms_attempt(
            v_attempt_id,
            resolve_sms_doubt.twilio_sid,
            'operator'
        );
    else
        perform smsretry.not_sent(
            v_row,
            v_attempt_id,
            'operator',
            smsretry.clock()
        );
    end if;
    perform smsretry.note_event(
        v_row.id,
        case
            when resolve_sms_doubt.twilio_sid is null then 'did_not_go_out'
            else 'went_out'
        end,
        resolve_sms_doubt.who,
        resolve_sms_doubt.because
    );
    return 'resolved';
end
$$;
