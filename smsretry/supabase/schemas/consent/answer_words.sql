-- Record that somebody has said what a number's unread words mean. Texts that were held for them
-- are due now. Returns how many words that were.
--   business_id: at which business; null: at each
--   senders: only what one of these received, or nobody knows who
create or replace function smsretry.answer_words(
    phone text,
    business_id uuid default null,
    senders text[] default null
)
returns integer
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    v_now constant timestamptz := smsretry.clock();
    v_words integer;
begin
    update smsretry.inbound_texts t
    set
        businesses = u.businesses,
        phone = case when u.businesses <> '{}' then t.phone end,
        senders = '{}' -- it counts nowhere else any more
    from (
        select
            i.twilio_sid,
            array(
                select b
                from unnest(
                    i.businesses
                        || array(
                            select w.business_id
                            from smsretry.unread_words w
                            where w.twilio_sid = i.twilio_sid
                        )
                ) b
                where b <> answer_words.business_id
            ) as businesses
        from smsretry.inbound_texts i
        where i.phone = answer_words.phone
          and (i.senders && answer_words.senders) is not false
    ) u
    where t.twilio_sid = u.twilio_sid;
    get diagnostics v_words = row_count;
    begin
        update public.sms_retry_queue q
        set scheduled_for = v_now, updated_at = v_now
        where q.id = any (
            array(
                select w.id
                from public.customers c
                cross join lateral (
                    select o.id
                    from public.sms_retry_queue o
                    where o.customer_id = c.id
                      -- is true: by the customer's index alone
                      and (
                          o.work in ('texts', 'suspect')
                          and o.why_code = 'words_unread'
                          and o.scheduled_for > v_now
                      ) is true
                    for update skip locked
                ) w
                where c.phone = answer_words.phone
                  and (c.business_id <> answer_words.business_id) is not true
            )
        );
    exception
        when query_canceled or others then
            raise warning 'Texts that were held for unread words wait for their next look: %',
                sqlstate;
    end;
    return v_words;
end
$$;
