-- Somebody texted START: at these businesses it takes back what a STOP, or the provider's refusal, did (smsretry.standing_opt_outs),
-- also a STOP to a sender that the business has left. If nothing else stands there, the customers have the consent again that they
-- had; where none is known, somebody must ask. A customer's row that says another opt-out stands for it, too.
--   by_yes: smsretry.start_takes_back · senders: that heard it; null: every one · anew false: it is kept already
--   customers: with consent again · unmarked: customers who could not be written; the same message again writes them
create or replace function smsretry.start_again(
    businesses uuid[], phone text, at timestamptz, by_yes boolean, senders text[], anew boolean,
    out customers integer, out unmarked integer
)
language plpgsql set search_path = pg_catalog, pg_temp set lock_timeout = '200ms' as $$
declare
    v_business uuid;
    v_key bytea;
    v_theirs uuid[];
begin
    customers := 0;
    unmarked := 0;
    foreach v_business in array start_again.businesses loop
        v_key := smsretry.number_key(v_business, start_again.phone);
        v_theirs := array(
            select c.id from public.customers c
            where c.phone = start_again.phone and (c.business_id = v_business) is true and c.sms_consent_status::text = 'opted_out');
        continue when exists (
            select from public.customers c
            where c.id = any (v_theirs) and not smsretry.start_takes_back(c.sms_consent_source::text, start_again.by_yes));
        if start_again.anew then
            insert into smsretry.consents (number_key, business_id, said, source, at, senders)
            select v_key, v_business, 'opted_in', case when start_again.by_yes then 'inbound_yes' else 'inbound_start' end,
                   smsretry.clock(), case when start_again.senders is not null then start_again.senders || array(
                       select s.sender from smsretry.standing_opt_outs o cross join unnest(o.senders) s (sender)
                       where o.number_key = v_key and v_business is not null
                         and not smsretry.sends_through(v_business, o.senders)) end
            where exists (select from smsretry.standing_opt_outs o where o.number_key = v_key); -- else it takes back nothing
        end if;
        continue when exists (select from smsretry.standing_opt_outs o where o.number_key = v_key);
        begin
            with given_back as (
                update public.customers c
                set sms_consent_status = coalesce(
                        (select w.was from smsretry.consents w
                         where w.number_key = v_key and w.said = 'opted_out' and w.customer_id = c.id order by w.id desc limit 1),
                        'unknown'),
                    sms_consent_at = start_again.at, sms_consent_source = 'inbound_start'
                where c.id = any (v_theirs) and c.phone = start_again.phone and c.sms_consent_status::text = 'opted_out'
                returning c.sms_consent_status::text as consent)
            select start_again.customers + count(*) filter (where g.consent = 'opted_in') into customers from given_back g;
        exception when others then
            raise warning 'The START of customers of business % could not be written yet: %', v_business, sqlstate;
            unmarked := unmarked + cardinality(v_theirs);
        end;
    end loop;
end
$$;
