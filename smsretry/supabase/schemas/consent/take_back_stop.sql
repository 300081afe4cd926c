-- Somebody texted START: at each business that has a customer with this number, restore the consent that a STOP or the
-- provider's refusal ended before `at`. Other opt-outs stay, and with them everything at that business.
-- stopped_consents says what consent was. Without an entry it becomes unknown, and somebody must ask again.
-- senders: those that heard it (smsretry.heard_by). Only businesses that send through one of them now take note; null: all.
-- by_yes: smsretry.start_takes_back. Separate businesses and left_only: as in smsretry.opt_out.
--   customers: with consent again · unmarked: customers who could not be written
create or replace function smsretry.take_back_stop(
    phone text, at timestamptz, left_only boolean default false, by_yes boolean default false,
    senders text[] default null, out customers integer, out unmarked integer
)
language plpgsql set search_path = pg_catalog, pg_temp set lock_timeout = '1s' as $$
declare
    v_until constant timestamptz := clock_timestamp() + interval '1 second';
    v_business uuid;
    v_key bytea;
begin
    customers := 0;
    unmarked := 0;
    for v_business in
        select b.id from smsretry.businesses_of(take_back_stop.phone, true) b (id)
        where take_back_stop.senders is null or smsretry.sends_through(b.id, take_back_stop.senders)
        order by b.id
    loop
        v_key := smsretry.number_key(v_business, take_back_stop.phone);
        continue when take_back_stop.left_only and not exists (
            select 1 from smsretry.unwritten_consents u
            where u.number_key = v_key and u.consent = 'opted_in' and u.since = take_back_stop.at);
        continue when smsretry.suppressed_since(v_key) is null and not exists (
            select 1 from public.customers c
            where c.phone = take_back_stop.phone and (c.business_id = v_business) is true and c.sms_consent_status::text = 'opted_out');
        perform set_config(
            'lock_timeout', greatest(ceil(extract(epoch from v_until - clock_timestamp()) * 1000), 20) || 'ms', true);
        begin
            customers := customers + smsretry.give_back_consent(
                v_business, take_back_stop.phone, v_key, take_back_stop.at, take_back_stop.by_yes, take_back_stop.senders);
        exception when others then
            raise warning 'The START of customers of business % could not be written yet: %', v_business, sqlstate;
            perform smsretry.keep_unwritten(v_key, v_business, 'opted_in', take_back_stop.at, 'inbound_start');
            select unmarked + count(*) into unmarked from public.customers c
            where c.phone = take_back_stop.phone and (c.business_id = v_business) is true and c.sms_consent_status::text = 'opted_out';
        end;
    end loop;
end
$$;
