-- Set or end consent for everyone at a business who has this number, and for one customer by id, whose number may have
-- changed since. An opt-out cancels their waiting texts; a text in doubt or under way, or one that somebody holds locked,
-- meets it at its own next begin. A repeated opt-out keeps the record of the first, unless a START could lift the first and
-- not this one.
-- Returns how many customers it concerns and how many texts it cancelled.
create or replace function smsretry.set_consent(
    business_id uuid, customer_id uuid, phone text, consent text, source text, at timestamptz,
    out customers integer, out cancelled integer
)
language plpgsql set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
declare
    -- Null without the key of the hashes. No text goes out then; suppressions are made of the rows once there is a key.
    v_key constant bytea := (select smsretry.number_key(set_consent.business_id, set_consent.phone) from smsretry.secret);
    v_ids uuid[];
    v_said record;
    v_waiting public.sms_retry_queue;
begin
    perform smsretry.lock_number(set_consent.business_id, set_consent.phone);
    -- Locked in one order, so that two opt-outs of the same people wait for each other and do not deadlock.
    select array_agg(locked.id) into v_ids from (
        select c.id from public.customers c
        where (c.phone = set_consent.phone or c.id = set_consent.customer_id) and c.business_id = set_consent.business_id
        order by c.id for no key update) locked;
    customers := coalesce(cardinality(v_ids), 0);
    for v_said in -- this, and before it the opt-outs that could not be written when they were heard
        with earlier as (
            delete from smsretry.unwritten_consents u
            where u.number_key = v_key and u.since <= set_consent.at
            returning u.consent, u.since, u.source)
        select e.since, e.source from earlier e
        where e.consent = 'opted_out' and set_consent.consent = 'opted_out'
        union all
        select set_consent.at, set_consent.source
        order by 1
    loop
        -- Here, too: a row that is opted out already keeps its time, and an opt-in from before this one lifts nothing.
        if set_consent.consent = 'opted_out' and v_key is not null then
            perform smsretry.suppress(set_consent.business_id, v_key, v_said.since, v_said.source);
        end if;
        update public.customers c
        set sms_consent_status = set_consent.consent, sms_consent_at = v_said.since, sms_consent_source = v_said.source
        where c.id = any (v_ids)
          and (set_consent.consent <> 'opted_out' or c.sms_consent_status is distinct from 'opted_out'
               or (smsretry.start_takes_back(c.sms_consent_source::text) and not smsretry.start_takes_back(v_said.source)));
    end loop;
    -- A person's word comes after all that was heard before it, and after what bears a date that has not come.
    if set_consent.consent = 'opted_in' then
        delete from smsretry.suppressions s
        where s.number_key = v_key and (s.since < set_consent.at or s.since > smsretry.clock());
        delete from smsretry.unwritten_consents u
        where u.number_key = v_key and u.consent = 'opted_out' and (u.since < set_consent.at or u.since > smsretry.clock());
    end if;

    cancelled := 0;
    if set_consent.consent = 'opted_out' then
        begin
            for v_waiting in
                select q.* from public.sms_retry_queue q
                where q.customer_id = any (v_ids) and q.status = 'pending' and q.in_doubt_since is null
                order by q.id for update
            loop
                perform smsretry.close_row(v_waiting, 'cancelled', 'Customer opted out', 'opted_out', null, set_consent.at);
                cancelled := cancelled + 1;
            end loop;
        exception when lock_not_available or deadlock_detected then
            cancelled := 0; -- none of them
        end;
    end if;
end
$$;

revoke all on function smsretry.set_consent from public, anon, authenticated;
grant execute on function smsretry.set_consent to service_role;
