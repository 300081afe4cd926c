-- Let the customers who have a number at a business, and one by id, follow the opt-out that stands there, as best they can: a row
-- that somebody holds locked, or that a rule of the application's refuses, is left as it is, and no text goes out to it all the
-- same. A repeated opt-out keeps the first record, unless only the first could be lifted by a START.
--   customers: who have opted out now · unmarked: who could not be marked · cancelled: smsretry.cancel_opted_out
create or replace function smsretry.follow_opt_out(
    business_id uuid, phone text, customer_id uuid default null, out customers integer, out cancelled integer, out unmarked integer
)
language plpgsql set search_path = pg_catalog, pg_temp set lock_timeout = '200ms' as $$
declare
    v_said record;
begin
    customers := 0;
    cancelled := 0;
    unmarked := 0;
    select o.dated, o.source into v_said
    from smsretry.standing_opt_outs o
    where o.number_key = smsretry.number_key(follow_opt_out.business_id, follow_opt_out.phone)
    order by smsretry.start_takes_back(o.source), o.id limit 1;
    if not found then
        return;
    end if;
    begin
        with theirs as materialized (
            select c.id from public.customers c
            where (c.phone = follow_opt_out.phone or c.id = follow_opt_out.customer_id)
              -- is true: not also by the index of business_id, where a business may have very many
              and (c.business_id = follow_opt_out.business_id) is true
            order by c.id for no key update -- in this order two opt-outs of the same people do not deadlock
        ), marked as (
            update public.customers c
            set sms_consent_status = 'opted_out', sms_consent_at = v_said.dated, sms_consent_source = v_said.source
            where c.id in (select t.id from theirs t)
              and (c.sms_consent_status::text is distinct from 'opted_out'
                   or smsretry.start_takes_back(c.sms_consent_source::text) and not smsretry.start_takes_back(v_said.source)))
        select count(*) into customers from theirs;
    exception when others then
        raise warning 'Customers of business % could not be marked as opted out yet: %', follow_opt_out.business_id, sqlstate;
        select count(*) into unmarked from public.customers c
        where (c.phone = follow_opt_out.phone or c.id = follow_opt_out.customer_id)
          and (c.business_id = follow_opt_out.business_id) is true;
    end;
    cancelled := smsretry.cancel_opted_out(array(
        select c.id from public.customers c
        where (c.phone = follow_opt_out.phone or c.id = follow_opt_out.customer_id)
          and (c.business_id = follow_opt_out.business_id) is true));
end
$$;
