-- Who said yes to texts to a number at a business after a moment: the newest opt-in that an opt-out of that moment does not
-- undo. As in smsretry.keep_suppression it has a date, which is not in the future nor stale. It was given for this number: an
-- opt-in from before the row received the number was for another. If its last four digits stayed, it was only written anew.
create or replace function smsretry.later_opt_in(business_id uuid, phone text, number_key bytea, after timestamptz)
returns uuid language plpgsql stable set search_path = pg_catalog, pg_temp as $$
begin
    return (
        select c.id from public.customers c
        where c.phone = later_opt_in.phone and (c.business_id = later_opt_in.business_id) is true -- by the number's index alone
          and c.sms_consent_status::text = 'opted_in'
          and c.sms_consent_at > later_opt_in.after and c.sms_consent_at <= smsretry.clock() + smsretry.fast_clock()
          and not exists (
              select 1 from smsretry.stale_opt_ins o
              where o.number_key = later_opt_in.number_key
                and o.at in (date_trunc('second', c.sms_consent_at), date_trunc('second', c.sms_consent_at) - interval '1 second'))
          and not exists (
              select 1 from smsretry.customer_changes x
              where x.customer_id = c.id and x.what = 'number' and x.at > c.sms_consent_at and x.was is distinct from x.became)
        order by c.sms_consent_at desc limit 1);
end
$$;
