-- Who said yes to texts to a number at a business after a moment: the newest opt-in that an opt-out of that moment does not undo.
-- It bears a date, which has come and is new to the number. It was given for this number: an opt-in from before
-- the row received the number was for another. If its last four digits stayed, it was only written anew.
create or replace function smsretry.later_opt_in(business_id uuid, phone text, after timestamptz)
returns uuid language plpgsql stable set search_path = pg_catalog, pg_temp as $$
begin
    return (
        select c.id from public.customers c
        where c.phone = later_opt_in.phone and (c.business_id = later_opt_in.business_id) is true -- by the number's index alone
          and c.sms_consent_status::text = 'opted_in'
          and c.sms_consent_at > later_opt_in.after and c.sms_consent_at <= smsretry.clock()
          and not smsretry.has_borne(
              smsretry.number_key(later_opt_in.business_id, later_opt_in.phone), c.sms_consent_at, in_vain => true)
          and not exists (
              select from smsretry.events e
              where e.about = c.id and e.code = 'number_changed' and e.at > c.sms_consent_at
                and e.detail ->> 'was' is distinct from e.detail ->> 'became')
        order by c.sms_consent_at desc limit 1);
end
$$;
