-- Record that somebody texted one of our numbers, for the application's webhook. The parameters are
-- Twilio's From, MessageSid, OptOutType, Body, To, MessagingServiceSid and AccountSid.
-- STOP opts the number out at every business that shares the sender which received it, because the
-- provider blocks it there; if nobody knows the sender, at every business. START takes back only
-- what STOP to that sender, or the provider's refusal, did; if nobody knows the sender, nothing
-- (smsretry.receivers_of).
-- OptOutType (Advanced Opt-Out) decides if it says STOP or START. Otherwise the body does: words
-- that say stop and nothing else (smsretry.means_stop), or exactly one of the provider's words of
-- START. A text taken for HELP may say stop, not START.
-- What only may mean stop changes no consent. Where it is received and the number has not opted
-- out, marketing texts wait until a person, or a STOP or START that follows, has said what it means
-- (smsretry.unread_words).
--   answer: opted_out, opted_in, unsure, nothing, already_recorded, or sender_unknown (a START that
--     took nothing back)
--   customers: opted out now, or with consent again
--   cancelled: texts that waited
--   unmarked: customers whose rows a later run marks; what was said holds for them, too
create or replace function public.record_inbound_sms(
    phone text,
    twilio_sid text,
    opt_out_type text default null,
    body text default null,
    to_number text default null,
    messaging_service_sid text default null,
    account_sid text default null
)
returns table (answer text, customers integer, cancelled integer, unmarked integer)
language plpgsql set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
    -- A form that was decoded wrongly has a space for the plus sign, and RCS names its channel.
    v_phone constant text := regexp_replace(
        phone,
        '^ *(?:(?:rcs|sms):)? *[+]?([1-9][0-9]{9,14}) *$',
        '+\1'
    );
    v_type constant text := coalesce(
        upper(btrim(left(opt_out_type, 40)) collate "C"),
        ''
    );
    v_word constant text := upper(btrim(left(body, 40), E' \t\r\n') collate "C");
    v_means constant text := smsretry.means_stop(body);
    v_said constant text := case
        when v_type in ('STOP', 'START') then v_type
        when v_means = 'keyword' then 'STOP'
        when v_type = '' and v_word in ('START', 'UNSTOP') then 'START'
        when v_type = '' and v_word = 'YES' then 'YES'
        when v_means = 'unsure' then 'unsure'
    end;
    v_heard_at constant timestamptz := smsretry.clock();
    v_businesses uuid[];
    v_receivers record;
begin
    if phone is null or not smsretry.is_message_id(twilio_sid) then
        raise exception 'phone must be given, and twilio_sid be the provider''s id of a message'
            using errcode = 'SR422';
    end if;
    answer := 'nothing';
    customers := 0;
    cancelled := 0;
    unmarked := 0;
    if v_said is null then
        return next;
        return;
    end if;
    v_receivers := smsretry.receivers_of(to_number, messaging_service_sid, account_sid);
    v_businesses := smsretry.businesses_of(
        v_phone,
        v_receivers.senders,
        now => v_said in ('START', 'YES')
    );
    insert into smsretry.inbound_texts (
        twilio_sid,
        received_at,
        said,
        senders,
        number_key,
        written_to,
        receivers_of
    )
    values (
        twilio_sid,
        v_heard_at,
        v_said,
        v_receivers.senders,
        smsretry.number_key(null, v_phone),
        case
            when smsretry.is_message_id(messaging_service_sid)
                then messaging_service_sid
            else smsretry.masked(to_number)
        end,
        case when v_receivers.lifts or v_said in ('STOP', 'unsure') then v_businesses end
    )
    on conflict
    do nothing;
    if not found then
        answer := 'already_recorded';
        return next;
        return;
    end if;
    v_businesses := v_businesses || null::uuid;
    if v_said = 'unsure' then
        answer := 'unsure';
    elsif v_said = 'STOP' then
        answer := 'opted_out';
        -- A YES takes back only what the provider blocks: its own words, one alone (Twilio,
        -- Advanced Opt-Out).
        perform smsretry.keep_opt_out(
            b.id,
            v_phone,
            case
                when v_type = 'STOP'
                  or v_word in (
                      'STOP',
                      'STOPALL',
                      'UNSUBSCRIBE',
                      'END',
                      'QUIT',
                      'REVOKE',
                      'OPTOUT',
                      'CANCEL'
                  )
                    then 'inbound_stop'
                else 'inbound_words'
            end,
            v_heard_at,
            v_receivers.senders
        )
        from unnest(v_businesses) b (id);
        select m.opted_out, m.cancelled, m.unmarked
        into customers, cancelled, unmarked
        from smsretry.mark_customers(v_businesses, v_phone) m;
    elsif not v_receivers.lifts then
        answer := 'sender_unknown';
    else
        answer := 'opted_in';
        v_businesses := smsretry.start_again(
            v_businesses,
            v_phone,
            v_heard_at,
            v_said = 'YES',
            v_receivers.senders
        );
        select m.opted_in, m.unmarked
        into customers, unmarked
        from smsretry.mark_customers(v_businesses, v_phone) m;
    end if;
    if answer = 'unsure' then
        v_businesses := array(
            select b.id
            from unnest(v_businesses) b (id)
            where b.id is not null
              and not exists (
                  select from smsretry.standing_opt_outs o
                  where o.number_key = smsretry.number_key(b.id, v_phone)
              )
        );
        update smsretry.inbound_texts t
        set phone = v_phone, businesses = v_businesses
        where t.twilio_sid = record_inbound_sms.twilio_sid
          and v_businesses <> '{}'; -- else nobody has to read it
    elsif answer in ('opted_out', 'opted_in') then
        perform smsretry.answer_words(v_phone, senders => v_receivers.senders);
    end if;
    return next;
end
$$;
