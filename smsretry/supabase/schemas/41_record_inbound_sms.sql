-- For the application's webhook: somebody texted one of our numbers (Twilio's From, OptOutType, Body and MessageSid). STOP opts the
-- number out at every business, because Twilio blocks it for the sender that they share. START takes back what STOP did, or
-- Twilio's refusal, and nothing else: an opt-out by telephone stays, and a consent that was never given is not made up.
-- HELP, and what is no keyword, changes nothing. Without Advanced Opt-Out there is no OptOutType; then Twilio's default
-- keywords count. Recorded once a message: sent again, an old webhook writes what could not be written when it was heard,
-- as of then, and changes nothing else.
--   answer: opted_out | opted_in | nothing | already_recorded
--   customers: how many are opted out now, or have consent again · cancelled: texts that waited
--   unmarked: customers whose rows could not be changed yet, because somebody holds them locked. A STOP holds for them, too;
--     with the same message again they are marked.
create or replace function public.record_inbound_sms(
    phone text, twilio_sid text, opt_out_type text default null, body text default null
)
returns table (answer text, customers integer, cancelled integer, unmarked integer)
language plpgsql security invoker set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
declare
    v_word constant text := upper(btrim(record_inbound_sms.body, E' \t\r\n'));
    v_said text := upper(btrim(record_inbound_sms.opt_out_type));
    v_heard_at timestamptz := smsretry.clock();
    v_again boolean;
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
    unmarked := 0;
    if (v_said in ('STOP', 'START')) is not true then
        return next;
        return;
    end if;
    insert into smsretry.inbound_texts (twilio_sid, heard_at, said)
    values (record_inbound_sms.twilio_sid, v_heard_at, v_said) on conflict do nothing;
    v_again := not found;
    if v_again then
        select t.said, t.heard_at into v_said, v_heard_at
        from smsretry.inbound_texts t where t.twilio_sid = record_inbound_sms.twilio_sid;
    end if;
    answer := case when v_again then 'already_recorded' when v_said = 'STOP' then 'opted_out' else 'opted_in' end;
    if v_said = 'STOP' then
        select s.customers, s.cancelled, s.unmarked into customers, cancelled, unmarked
        from smsretry.opt_out(record_inbound_sms.phone, 'inbound_stop', v_heard_at, null, v_again) s;
    else
        select s.customers, s.unmarked into customers, unmarked
        from smsretry.take_back_stop(record_inbound_sms.phone, v_heard_at, v_again) s;
    end if;
    return next;
end
$$;

revoke all on function public.record_inbound_sms from public, anon, authenticated;
grant execute on function public.record_inbound_sms to service_role;
