-- Somebody texted START: at each business that has a customer with this number, what a STOP or Twilio's refusal ended before
-- `at` is as it was. Who had consented has consent again; who never gave any has none now. An opt-out that was said otherwise
-- stays, and so does all else at that business, as does what was said after `at`.
-- What consent was is known from stopped_consents. Where it is not, it is unknown, and somebody must ask anew: that is so of
-- rows that came in as opted out, of those that had another number then, and of what version 1.0.0 opted out, unless a text
-- had gone out under the consent (the migration that asks before sending again found it).
-- by_yes: it was a YES, which takes back less (smsretry.start_takes_back).
-- Each business answers for itself, and left_only means what it does, as in smsretry.opt_out.
--   customers: how many have consent again · unmarked: customers who could not be written
create or replace function smsretry.take_back_stop(
    phone text, at timestamptz, left_only boolean default false, by_yes boolean default false, out customers integer, out unmarked integer
)
language plpgsql set search_path = pg_catalog, pg_temp
set lock_timeout = '1s' as $$
#variable_conflict use_column
declare
    v_until constant timestamptz := clock_timestamp() + interval '1 second';
    v_business uuid;
    v_key bytea;
    v_ids uuid[];
    v_customers integer;
begin
    customers := 0;
    unmarked := 0;
    for v_business in
        select c.business_id from public.customers c
        where c.phone = take_back_stop.phone
        union -- as smsretry.opt_out has it
        select b.id from public.businesses b
        where exists (
            select 1 from public.sms_send_attempts a where a.number_key = smsretry.number_key(b.id, take_back_stop.phone))
        order by 1
    loop
        v_key := smsretry.number_key(v_business, take_back_stop.phone);
        continue when take_back_stop.left_only and not exists (
            select 1 from smsretry.unwritten_consents u
            where u.number_key = v_key and u.consent = 'opted_in' and u.since = take_back_stop.at);
        continue when smsretry.suppressed_since(v_key) is null and not exists (
            select 1 from public.customers c
            where c.phone = take_back_stop.phone and c.business_id = v_business and c.sms_consent_status::text = 'opted_out');
        perform set_config(
            'lock_timeout', greatest(ceil(extract(epoch from v_until - clock_timestamp()) * 1000), 20) || 'ms', true);
        begin
            perform smsretry.lock_number(v_business, take_back_stop.phone);
            v_ids := array(
                select c.id from public.customers c
                where c.phone = take_back_stop.phone and c.business_id = v_business
                order by c.id for no key update);
            delete from smsretry.unwritten_consents u
            where u.number_key = v_key and u.consent = 'opted_in' and u.since <= take_back_stop.at;
            -- Asked after the locks: what held them may have been an opt-out.
            continue when exists (
                select 1 from public.customers c
                where c.id = any (v_ids) and c.sms_consent_status::text = 'opted_out'
                  and (not smsretry.start_takes_back(c.sms_consent_source::text, take_back_stop.by_yes) or c.sms_consent_at >= take_back_stop.at)
                union all
                select 1 from smsretry.suppressions s
                where s.number_key = v_key and (not smsretry.start_takes_back(s.source, take_back_stop.by_yes) or s.since >= take_back_stop.at)
                union all
                select 1 from smsretry.unwritten_consents u
                where u.number_key = v_key and u.consent = 'opted_out'
                  and (not smsretry.start_takes_back(u.source, take_back_stop.by_yes) or u.since >= take_back_stop.at));
            with given_back as (
                update public.customers c
                set sms_consent_status = case when x.known then x.consent else 'unknown' end,
                    sms_consent_at = take_back_stop.at, sms_consent_source = 'inbound_start'
                from (select i.id, t.customer_id is not null as known, t.consent
                      from unnest(v_ids) i (id)
                      left join smsretry.stopped_consents t on t.customer_id = i.id and t.number_key = v_key) x
                where c.id = x.id and c.sms_consent_status::text = 'opted_out'
                returning c.sms_consent_status::text as consent)
            select count(*) into v_customers from given_back g where g.consent = 'opted_in';
            customers := customers + v_customers;
            -- Where nobody has consent again, nothing else has done it.
            delete from smsretry.suppressions s
            where s.number_key = v_key and smsretry.start_takes_back(s.source) and s.since < take_back_stop.at;
            delete from smsretry.unwritten_consents u
            where u.number_key = v_key and u.consent = 'opted_out' and smsretry.start_takes_back(u.source)
              and u.since < take_back_stop.at;
        exception when others then
            raise warning 'The START of customers of business % could not be written yet: %', v_business, sqlstate;
            insert into smsretry.unwritten_consents (number_key, business_id, consent, since, source)
            select v_key, v_business, 'opted_in', take_back_stop.at, 'inbound_start'
            where not exists (
                select 1 from smsretry.unwritten_consents u
                where u.number_key = v_key and u.consent = 'opted_in' and u.since = take_back_stop.at);
            select unmarked + count(*) into unmarked from public.customers c
            where c.phone = take_back_stop.phone and c.business_id = v_business and c.sms_consent_status::text = 'opted_out';
        end;
    end loop;
end
$$;

revoke all on function smsretry.take_back_stop from public, anon, authenticated;
grant execute on function smsretry.take_back_stop to service_role;
