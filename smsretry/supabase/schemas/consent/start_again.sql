-- Keep a START at the businesses where one of these senders texts and something stands against the
-- number, also a STOP to a sender that the business has left. Returns the ids of what was kept.
--   source: inbound_start or inbound_yes (smsretry.start_takes_back)
--   senders: that received it; null: every one
create or replace function smsretry.start_again(
    phone text,
    source text,
    senders text[],
    twilio_sid text
)
returns bigint[]
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    v_key constant bytea := (select s.key from smsretry.secret s);
    v_business uuid;
    v_customers uuid[];
    v_left text[];
    v_gives_way boolean;
    v_words smsretry.word[] := '{}';
begin
    perform smsretry.keep_rows(phone);
    for v_business in
        select b.id
        from public.businesses b
        where (
            b.id in (
                select c.business_id
                from public.customers c
                where c.phone = start_again.phone
            )
            or exists (
                select from smsretry.standing_words o
                where o.subject_key = smsretry.number_key(b.id, start_again.phone, v_key)
                offset 0
            )
        )
          and (
              start_again.senders is null
              or smsretry.sends_through(b.id, start_again.senders)
          )
    loop
        v_customers := array(
            select c.id
            from public.customers c
            where c.phone = start_again.phone
              and (c.business_id = v_business) is true
        ) || null::uuid;
        select
            -- a null for what was received by a sender that it still has
            array_agg(distinct s.sender),
            bool_and(
                o.said = 'unsure'
                or smsretry.start_takes_back(
                    o.source,
                    start_again.source = 'inbound_yes'
                )
            )
        into v_left, v_gives_way
        from (
            -- the number's words once, and beside them each customer's
            select distinct
                (a.word).said,
                (a.word).source,
                (a.word).senders
            from smsretry.objections(
                array_fill(v_business, array[cardinality(v_customers)]),
                array_fill(null::text, array[cardinality(v_customers) - 1])
                    || start_again.phone,
                v_customers
            ) a
        ) o
        left join unnest(o.senders) s (sender)
            on not smsretry.sends_through(v_business, o.senders);
        -- Nothing stands, or another opt-out does: a customer's row speaks for the number, too.
        continue when v_gives_way is not true
            or exists (
                select from public.customers c
                where c.id = any (v_customers)
                  and smsretry.consent(c.sms_consent_status::text) = 'opted_out'
                  and not smsretry.start_takes_back(
                      c.sms_consent_source::text,
                      start_again.source = 'inbound_yes'
                  )
            );
        v_words := v_words || smsretry.words_at(
            array[v_business],
            start_again.phone,
            'opted_in',
            start_again.source,
            senders => start_again.senders || v_left,
            twilio_sid => start_again.twilio_sid
        );
    end loop;
    return smsretry.keep_words(v_words, everyone => true, marks => true);
end
$$;
