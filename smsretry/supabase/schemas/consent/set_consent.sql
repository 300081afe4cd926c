-- Set or end consent for everyone at a business who has this number, and for one customer by id, whose number may have
-- changed. An opt-out cancels their waiting texts; a text that is in doubt, under way or locked meets it at its next begin.
-- A repeated opt-out keeps the first record, unless only the first could be lifted by a START.
-- Returns how many customers it concerns and how many texts it cancelled.
create or replace function smsretry.set_consent(
    business_id uuid, customer_id uuid, phone text, consent text, source text, at timestamptz,
    out customers integer, out cancelled integer
)
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    -- Null without the key of the hashes. Then no text goes out, and the rows become suppressions once there is a key.
    v_key constant bytea := (select smsretry.number_key(set_consent.business_id, set_consent.phone) from smsretry.secret);
    v_ids constant uuid[] := smsretry.lock_customers(set_consent.business_id, set_consent.phone, set_consent.customer_id);
    v_said record;
    v_waiting public.sms_retry_queue;
begin
    customers := cardinality(v_ids);
    cancelled := 0;
    if set_consent.consent = 'opted_in' then
        -- A person's word also outweighs opt-outs dated in the future.
        perform smsretry.take_unwritten(v_key, set_consent.at);
        update public.customers c
        set sms_consent_status = 'opted_in', sms_consent_at = set_consent.at, sms_consent_source = set_consent.source
        where c.id = any (v_ids);
        perform smsretry.lift(v_key, set_consent.at, false, smsretry.clock());
        return;
    end if;

    for v_said in -- this, and before it what could not be written when it was heard
        select t.since, t.source from smsretry.take_unwritten(v_key, set_consent.at) t
        union all
        select set_consent.at, set_consent.source
        order by 1
    loop
        update public.customers c
        set sms_consent_status = 'opted_out', sms_consent_at = v_said.since, sms_consent_source = v_said.source
        where c.id = any (v_ids)
          and (c.sms_consent_status is distinct from 'opted_out'
               or (smsretry.start_takes_back(c.sms_consent_source::text) and not smsretry.start_takes_back(v_said.source)));
        -- The trigger on customers records a changed row. No row has changed if all were opted out already, have another
        -- number by now, or are gone.
        if v_key is not null and not exists ( -- an opt-out that is no earlier, and no easier for a START to take back
            select 1
            from (select s.since, s.source from smsretry.suppressions s where s.number_key = v_key
                  union all
                  select u.since, u.source from smsretry.unwritten_consents u
                  where u.number_key = v_key and u.consent = 'opted_out') o
            where o.since >= v_said.since
              and (smsretry.start_takes_back(v_said.source) or not smsretry.start_takes_back(o.source))) then
            perform smsretry.suppress(set_consent.business_id, v_key, v_said.since, v_said.source);
        end if;
    end loop;
    begin
        for v_waiting in
            select q.* from public.sms_retry_queue q
            where q.customer_id = any (v_ids)
              -- is true: by the customers alone; with old statistics an index of all that waits is walked
              and (q.status = 'pending' and q.in_doubt_since is null) is true
            order by q.id for update
        loop
            perform smsretry.close_row(v_waiting, 'cancelled', 'Customer opted out', 'opted_out', null, smsretry.clock());
            cancelled := cancelled + 1;
        end loop;
    exception when lock_not_available or deadlock_detected then
        cancelled := 0; -- none of them
    end;
end
$$;
