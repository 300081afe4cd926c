-- For the application's webhook: somebody texted one of our numbers (Twilio's From, OptOutType, Body and MessageSid). STOP opts the
-- number out at every business, because Twilio blocks it for the sender that they share. START takes back what STOP did, or
-- Twilio's refusal, and nothing else: an opt-out by telephone stays, and a consent that was never given is not made up.
-- HELP, and what is no keyword, changes nothing. Without Advanced Opt-Out there is no OptOutType; then Twilio's default
-- keywords count. Recorded once a message, so that an old webhook that is sent again changes nothing.
--   answer: opted_out | opted_in | nothing | already_recorded · customers: how many it concerns · cancelled: texts that waited
create or replace function public.record_inbound_sms(
    phone text, twilio_sid text, opt_out_type text default null, body text default null
)
returns table (answer text, customers integer, cancelled integer)
language plpgsql security invoker set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
declare
    v_word constant text := upper(btrim(record_inbound_sms.body, E' \t\r\n'));
    v_now constant timestamptz := smsretry.clock();
    v_said text := upper(btrim(record_inbound_sms.opt_out_type));
    v_business uuid;
    v_count integer;
begin
    if (record_inbound_sms.twilio_sid ~ '^(SM|MM)[0-9a-fA-F]{32}$') is not true or record_inbound_sms.phone is null then
        raise exception 'phone must be given, and twilio_sid be a message SID (SM or MM and 32 hexadecimal digits)'
            using errcode = 'SR422';
    end if;
    if coalesce(v_said, '') = '' then
        v_said := case
            when v_word in ('STOP', 'STOPALL', 'UNSUBSCRIBE', 'END', 'QUIT', 'CANCEL', 'REVOKE', 'OPTOUT') then 'STOP'
            when v_word in ('START', 'UNSTOP', 'YES') then 'START' end;
    end if;
    answer := 'nothing';
    customers := 0;
    cancelled := 0;
    if (v_said in ('STOP', 'START')) is not true then
        return next;
        return;
    end if;
    insert into smsretry.inbound_texts (twilio_sid, heard_at, said)
    values (record_inbound_sms.twilio_sid, v_now, v_said) on conflict do nothing;
    if not found then
        answer := 'already_recorded';
    elsif v_said = 'STOP' then
        answer := 'opted_out';
        select s.customers, s.cancelled into customers, cancelled
        from smsretry.set_consent(null, null, record_inbound_sms.phone, 'opted_out', 'inbound_stop', v_now) s;
    else
        answer := 'opted_in';
        for v_business in
            select c.business_id from public.customers c
            where c.phone = record_inbound_sms.phone and c.sms_consent_status::text = 'opted_out'
            group by c.business_id
            having bool_and(coalesce(c.sms_consent_source::text, '') ~ '^(inbound_stop|twilio_[0-9]+)$')
            order by c.business_id
        loop
            select s.customers into v_count
            from smsretry.set_consent(v_business, null, record_inbound_sms.phone, 'opted_in', 'inbound_start', v_now) s;
            customers := customers + v_count;
        end loop;
    end if;
    return next;
end
$$;

revoke all on function public.record_inbound_sms from public, anon, authenticated;
grant execute on function public.record_inbound_sms to service_role;
