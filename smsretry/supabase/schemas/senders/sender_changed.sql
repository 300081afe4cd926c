-- Draw the consequences of an order about a sender. An event says who gave it and why. Senders that
-- no business uses, and that never were the default sender, are deleted (attempts keep theirs).
-- Texts that wait because of their sender are released, business by business for three seconds.
--   business_id: whose sender it became or was; null: all who use it
--   businesses: how many use it now
--   released: texts that became due
create or replace function smsretry.sender_changed(
    changed smsretry.senders,
    what text,
    who text,
    because text,
    business_id uuid default null,
    message_class text default null,
    out sender_id uuid,
    out sender text,
    out businesses integer,
    out released integer
)
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    v_until constant timestamptz := clock_timestamp() + interval '3 seconds';
    v_users uuid[];
    v_business uuid;
begin
    sender_id := changed.id;
    sender := smsretry.shown_sender(changed.sent_by);
    perform smsretry.note_event(
        changed.id,
        sender_changed.what,
        sender_changed.who,
        sender_changed.because,
        jsonb_build_object(
            'account', changed.account,
            'sender', sender_changed.sender,
            'business_id', sender_changed.business_id,
            'message_class', sender_changed.message_class
        )
    );
    if sender_changed.what in ('added', 'removed') then -- the caller has locked business_senders
        with gone as (
            delete from smsretry.senders s
            where s.named_at is null
              and not exists (
                  select from smsretry.business_senders b
                  where b.sender_id = s.id
              )
            returning s.id
        )
        delete from smsretry.stops x
        using gone g
        where x.kind = 'sender' and x.subject = g.id::text;
    end if;
    v_users := array(
        select b.business_id
        from smsretry.business_senders b
        where b.sender_id = changed.id
        -- the default sender: who has none for texts of each class
        union
        select b.id
        from public.businesses b
        where changed.id = (smsretry.sender_of(null, 'marketing')).id
          and (
              select count(*)
              from smsretry.own_senders o
              where o.business_id = b.id
          ) < 2
    );
    businesses := cardinality(v_users);
    released := 0;
    if sender_changed.what = 'paused' then
        return;
    end if;
    foreach v_business in array case
        when sender_changed.business_id is null then v_users
        else array[sender_changed.business_id]
    end
    loop
        exit when clock_timestamp() > v_until;
        released := released + smsretry.try_release(
            smsretry.why_codes_of('sender', 'sender_limit'),
            businesses => array[v_business]
        );
    end loop;
end
$$;
