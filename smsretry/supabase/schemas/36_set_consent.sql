-- Set or end consent for everyone at a business who has this number, and for one customer by id, whose number may have
-- changed since. Without a business: at all of them. An opt-out cancels their waiting texts; a text in doubt or under way
-- meets it at its own next begin. A repeated opt-out keeps the record of the first.
-- Returns how many customers it concerns and how many texts it cancelled.
create or replace function smsretry.set_consent(
    business_id uuid, customer_id uuid, phone text, consent text, source text, at timestamptz,
    out customers integer, out cancelled integer
)
language plpgsql set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
declare
    v_ids uuid[];
    v_waiting public.sms_retry_queue;
begin
    perform smsretry.lock_number(b.id, set_consent.phone)
    from public.businesses b
    where b.id = set_consent.business_id
       or set_consent.business_id is null
          and exists (select 1 from public.customers c where c.phone = set_consent.phone and c.business_id = b.id)
    order by b.id;
    -- Locked in one order, so that two opt-outs of the same people wait for each other and do not deadlock.
    select array_agg(locked.id) into v_ids from (
        select c.id from public.customers c
        where (c.phone = set_consent.phone or c.id = set_consent.customer_id)
          and (c.business_id = set_consent.business_id or set_consent.business_id is null)
        order by c.id for update) locked;
    customers := coalesce(cardinality(v_ids), 0);
    update public.customers c
    set sms_consent_status = set_consent.consent, sms_consent_at = set_consent.at, sms_consent_source = set_consent.source
    where c.id = any (v_ids)
      and (set_consent.consent <> 'opted_out' or c.sms_consent_status is distinct from 'opted_out');

    cancelled := 0;
    if set_consent.consent = 'opted_out' then
        for v_waiting in
            select q.* from public.sms_retry_queue q
            where q.customer_id = any (v_ids) and q.status = 'pending' and q.in_doubt_since is null
            order by q.id for update
        loop
            perform smsretry.close_row(v_waiting, 'cancelled', 'Customer opted out', null, set_consent.at);
            cancelled := cancelled + 1;
        end loop;
    end if;
end
$$;

revoke all on function smsretry.set_consent from public, anon, authenticated;
grant execute on function smsretry.set_consent to service_role;
