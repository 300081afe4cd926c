-- Take back, at one business, what a STOP of this number ended before `at`: smsretry.take_back_stop. Nothing changes if the
-- START does not take back every opt-out there, or a STOP to another sender holds (senders: those that heard the START).
-- Returns how many customers have consent again.
create or replace function smsretry.give_back_consent(
    business_id uuid, phone text, number_key bytea, at timestamptz, by_yes boolean, senders text[] default null
)
returns integer language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    v_ids constant uuid[] := smsretry.lock_customers(give_back_consent.business_id, give_back_consent.phone);
    v_given integer;
begin
    delete from smsretry.unwritten_consents u
    where u.number_key = give_back_consent.number_key and u.consent = 'opted_in' and u.since <= give_back_consent.at;
    -- After the locks: an opt-out may have held them.
    if give_back_consent.senders is not null and smsretry.stopped_elsewhere(
            give_back_consent.business_id, give_back_consent.number_key, give_back_consent.senders)
        or exists (
        select 1
        from (select c.sms_consent_source::text, c.sms_consent_at from public.customers c
              where c.id = any (v_ids) and c.sms_consent_status::text = 'opted_out'
              union all
              select s.source, s.since from smsretry.suppressions s where s.number_key = give_back_consent.number_key
              union all
              select u.source, u.since from smsretry.unwritten_consents u
              where u.number_key = give_back_consent.number_key and u.consent = 'opted_out') as o (source, since)
        where not smsretry.start_takes_back(o.source, give_back_consent.by_yes) or o.since >= give_back_consent.at) then
        -- Each sender's START is kept until all have heard one. A YES leaves a stop in words.
        delete from smsretry.heard_stops h
        where not give_back_consent.by_yes and h.number_key = give_back_consent.number_key
          and h.senders && give_back_consent.senders and h.since < give_back_consent.at;
        return 0;
    end if;
    with given_back as (
        update public.customers c
        set sms_consent_status = case when x.known then x.consent else 'unknown' end,
            sms_consent_at = give_back_consent.at, sms_consent_source = 'inbound_start'
        from (select i.id, t.customer_id is not null as known, t.consent
              from unnest(v_ids) i (id)
              left join smsretry.stopped_consents t on t.customer_id = i.id and t.number_key = give_back_consent.number_key) x
        where c.id = x.id and c.sms_consent_status::text = 'opted_out'
        returning c.sms_consent_status::text as consent)
    select count(*) into v_given from given_back g where g.consent = 'opted_in';
    -- If nobody has consent again, the trigger on customers has lifted nothing.
    perform smsretry.lift(give_back_consent.number_key, give_back_consent.at, true);
    return v_given;
end
$$;
