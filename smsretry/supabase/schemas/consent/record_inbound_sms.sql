-- Record that somebody texted one of our numbers, for the application's webhook. The parameters are
-- Twilio's From, MessageSid, OptOutType, Body, To, MessagingServiceSid and AccountSid.
-- STOP opts the number out at every business that shares the sender which received it, because the
-- provider blocks it there; if nobody knows the sender, at every business. What only may mean stop
-- is kept where a STOP would be, and keeps marketing texts waiting. START takes back what STOP to
-- that sender, or the provider's refusal, did, and answers such words; if nobody knows the sender,
-- nothing (smsretry.receivers_of). YES takes back only what the provider blocks.
-- OptOutType (Advanced Opt-Out) decides if it says STOP or START. Otherwise the body does: words
-- that say stop and nothing else (smsretry.means_stop), or exactly one of the provider's words of
-- START. A text taken for HELP may say stop, not START.
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
#variable_conflict use_column
declare
    v_phone constant text := smsretry.heard_number(phone);
    v_type constant text := coalesce(
        upper(btrim(left(opt_out_type, 40)) collate "C"),
        ''
    );
    v_word constant text := upper(btrim(left(body, 40), E' \t\r\n') collate "C");
    v_means constant text := smsretry.means_stop(body);
    v_source constant text := case
        -- A YES takes back only what the provider blocks: its own words, one alone (Twilio,
        -- Advanced Opt-Out).
        when v_type = 'STOP'
          or v_type <> 'START'
            and v_word in (
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
        when v_type = 'START' then 'inbound_start'
        when v_means = 'keyword' then 'inbound_words'
        when v_type = '' and v_word in ('START', 'UNSTOP') then 'inbound_start'
        when v_type = '' and v_word = 'YES' then 'inbound_yes'
        when v_means = 'unsure' then 'inbound_unsure'
    end;
    v_said text := case v_source
        when 'inbound_unsure' then 'unsure'
        when 'inbound_start' then 'opted_in'
        when 'inbound_yes' then 'opted_in'
        else 'opted_out'
    end;
    v_now constant timestamptz := smsretry.clock();
    v_receivers record;
    v_text bigint;
    v_words bigint[];
begin
    if phone is null or not smsretry.is_message_id(twilio_sid) then
        raise exception 'phone must be given, and twilio_sid be the provider''s id of a message'
            using errcode = 'SR422';
    end if;
    answer := 'nothing';
    customers := 0;
    cancelled := 0;
    unmarked := 0;
    if v_source is null or v_phone !~ '\d' then
        return next;
        return;
    end if;
    answer := v_said;
    v_receivers := smsretry.receivers_of(
        to_number,
        messaging_service_sid,
        account_sid,
        v_said = 'opted_in'
    );
    if v_said = 'opted_in' and not v_receivers.known then
        v_said := 'seen';
        answer := 'sender_unknown';
    end if;

    -- the text itself, at whoever gets to know the number
    insert into smsretry.consents (
        subject_key,
        number_key,
        said,
        source,
        at,
        dated,
        senders,
        twilio_sid,
        written_to
    )
    values (
        smsretry.number_key(null, v_phone),
        smsretry.number_key(null, v_phone),
        v_said,
        v_source,
        v_now,
        case when v_said in ('opted_out', 'unsure') then v_now end,
        v_receivers.senders,
        twilio_sid,
        case
            when smsretry.is_message_id(messaging_service_sid)
                then messaging_service_sid
            else smsretry.masked(to_number)
        end
    )
    on conflict (twilio_sid, subject_key) where twilio_sid is not null
    do nothing
    returning id into v_text;
    if v_text is null then
        answer := 'already_recorded';
        return next;
        return;
    end if;

    -- where it counts already
    if v_said in ('opted_out', 'unsure') then
        v_words := smsretry.keep_words(
            smsretry.words_at(
                smsretry.businesses_of(v_phone, v_receivers.senders, account_sid),
                v_phone,
                v_said,
                v_source,
                v_now,
                v_receivers.senders,
                twilio_sid
            ),
            everyone => true,
            marks => v_said = 'opted_out'
        );
    elsif v_said = 'opted_in' then
        v_words := smsretry.start_again(
            v_phone,
            v_source,
            v_receivers.senders,
            twilio_sid
        );
    end if;
    select
        case v_said when 'opted_in' then m.opted_in else m.opted_out end,
        m.cancelled,
        m.unmarked
    into customers, cancelled, unmarked
    from smsretry.write_consent(v_words) m;
    if v_said = 'unsure' and v_words <> '{}' then -- else nobody has to read it yet
        update smsretry.consents c
        set phone = v_phone
        where c.id = v_text;
    elsif v_said in ('opted_out', 'opted_in') then
        perform smsretry.words_answered(v_phone);
    end if;
    return next;
end
$$;
