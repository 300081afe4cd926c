-- The businesses that have a customer with this number. texted: also those that have texted it. A deleted customer who
-- answers STOP may be imported again tomorrow.
-- senders: only those that send through one of them now, or have texted the number from one (as smsretry.heard_by has them)
create or replace function smsretry.businesses_of(phone text, texted boolean, senders text[] default null)
returns setof uuid language sql stable set search_path = pg_catalog, pg_temp as $$
    select known.id
    from (select c.business_id from public.customers c where c.phone = businesses_of.phone
          union
          select b.id from public.businesses b cross join smsretry.secret
          where businesses_of.texted and exists (
              select 1 from public.sms_send_attempts a
              where a.number_key = smsretry.number_key(b.id, businesses_of.phone))) known (id)
    where businesses_of.senders is null
       or smsretry.sends_through(known.id, businesses_of.senders)
       or smsretry.texted_through(known.id, businesses_of.phone, businesses_of.senders)
    order by 1
$$;
