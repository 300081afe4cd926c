-- For the application's webhook: somebody texted one of our numbers (Twilio's From, MessageSid, OptOutType, Body, To,
-- MessagingServiceSid and AccountSid). STOP opts the number out at every business that shares the sender which heard it,
-- because the provider blocks it there; if nobody knows the sender, at every business. START takes back only what STOP to
-- that sender, or the provider's refusal, did; if nobody knows the sender, nothing (smsretry.heard_by).
-- OptOutType (Advanced Opt-Out) decides if it says STOP or START. Otherwise the body does: anything that may mean stop
-- (smsretry.means_stop), or exactly one of the provider's words of START. A text taken for HELP may say stop, not START.
-- Each message is recorded once. Repeated, it only writes what could not be written the first time, as of then.
--   answer: opted_out | opted_in | nothing | already_recorded | sender_unknown (a START that took nothing back)
--   customers: opted out now, or with consent again · cancelled: texts that waited
--   unmarked: customers whose rows are locked; a STOP holds for them too, and the same message again marks them
--   heard: provider (OptOutType) | keyword | words (it may mean stop, and a person should read it) | null
create or replace function public.record_inbound_sms(
    phone text, twilio_sid text, opt_out_type text default null, body text default null, to_number text default null,
    messaging_service_sid text default null, account_sid text default null
)
returns table (answer text, customers integer, cancelled integer, unmarked integer, heard text)
language plpgsql security invoker set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
declare
    -- A form that was decoded wrongly has a space for the plus sign, and RCS names its channel.
    v_phone constant text := regexp_replace(record_inbound_sms.phone, '^ *(?:(?:rcs|sms):)? *[+]?([1-9][0-9]{9,14}) *$', '+\1');
    v_type constant text := coalesce(upper(btrim(left(record_inbound_sms.opt_out_type, 40)) collate "C"), '');
    v_word constant text := upper(btrim(left(record_inbound_sms.body, 40), E' \t\r\n') collate "C");
    v_means text;
    v_said text;
    v_heard text;
    v_heard_at timestamptz := smsretry.clock();
    v_key bytea;
    v_anew boolean;
    v_by record;
begin
    if not smsretry.is_message_id(record_inbound_sms.twilio_sid) or record_inbound_sms.phone is null then
        raise exception 'phone must be given, and twilio_sid be the provider''s id of a message'
            using errcode = 'SR422';
    end if;
    if v_type in ('STOP', 'START') then
        v_said := v_type;
        v_heard := 'provider';
    else
        v_means := smsretry.means_stop(record_inbound_sms.body);
        v_said := case when v_means is not null then 'STOP' when v_type = '' and v_word in ('START', 'UNSTOP', 'YES') then 'START' end;
        v_heard := coalesce(v_means, case when v_word = 'YES' then 'yes' else 'keyword' end);
    end if;
    answer := 'nothing';
    customers := 0;
    cancelled := 0;
    unmarked := 0;
    if v_said is null then
        return next;
        return;
    end if;
    v_by := smsretry.heard_by(
        record_inbound_sms.to_number, record_inbound_sms.messaging_service_sid, record_inbound_sms.account_sid);
    v_key := smsretry.number_key(smsretry.everywhere(), v_phone);
    insert into smsretry.inbound_texts (twilio_sid, heard_at, said, heard, number_key, senders)
    values (record_inbound_sms.twilio_sid, v_heard_at, v_said, v_heard, v_key, v_by.senders) on conflict do nothing;
    v_anew := found;
    if not v_anew then
        select t.said, t.heard_at, t.heard, t.senders into v_said, v_heard_at, v_heard, v_by.senders
        from smsretry.inbound_texts t where t.twilio_sid = record_inbound_sms.twilio_sid;
    end if;
    answer := case when not v_anew then 'already_recorded' when v_said = 'STOP' then 'opted_out'
                   when v_by.lifts then 'opted_in' else 'sender_unknown' end;
    if v_said = 'STOP' then
        select s.customers, s.cancelled, s.unmarked into customers, cancelled, unmarked
        from smsretry.opt_out(
            smsretry.businesses_of(v_phone, case when v_anew then v_by.senders end) || smsretry.everywhere(), v_phone,
            case when v_heard = 'words' then 'inbound_words' else 'inbound_stop' end, v_heard_at, v_by.senders, v_anew) s;
    elsif answer <> 'sender_unknown' then
        select s.customers, s.unmarked into customers, unmarked
        from smsretry.start_again(
            smsretry.businesses_of(v_phone, v_by.senders, now => true) || smsretry.everywhere(), v_phone, v_heard_at, coalesce(v_heard = 'yes', false),
            v_by.senders, v_anew) s;
    end if;
    -- Nobody needs to read what a plain word follows, or what concerns no customer.
    if answer in ('opted_out', 'opted_in')
        and (v_heard in ('provider', 'keyword') or v_heard = 'words' and customers + unmarked = 0) then
        perform smsretry.mark_words_read(v_key, v_heard_at, v_by.senders);
    end if;
    heard := case when v_heard = 'yes' then 'keyword' else v_heard end;
    return next;
end
$$;
