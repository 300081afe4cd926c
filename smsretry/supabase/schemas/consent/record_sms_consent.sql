-- For people: a customer says stop or yes by telephone or letter. An opt-out without a business is from all of them; consent
-- is given to one. Either one also closes the number's texts that may mean stop and wait for a person.
--   customers: concerned · cancelled: texts that waited
--   unmarked: customers whose rows are locked; the opt-out holds for them too, and the same call again marks them
create or replace function public.record_sms_consent(
    phone text, consent text, source text, business_id uuid default null
)
returns table (customers integer, cancelled integer, unmarked integer)
language plpgsql security invoker set search_path = pg_catalog, pg_temp as $$
declare
    v_seen integer;
begin
    if (record_sms_consent.consent in ('opted_in', 'opted_out')) is not true
        or (record_sms_consent.phone ~ '^[+][1-9][0-9]{6,14}$') is not true
        or coalesce(btrim(record_sms_consent.source), '') = '' then
        raise exception 'phone must be E.164, consent opted_in or opted_out, and source must say how it is known'
            using errcode = 'SR422';
    end if;
    if record_sms_consent.consent = 'opted_in' and record_sms_consent.business_id is null then
        raise exception 'business_id is missing: consent is given to one business' using errcode = 'SR422';
    end if;
    if record_sms_consent.consent = 'opted_out' then
        select s.customers, s.cancelled, s.unmarked into customers, cancelled, unmarked
        from smsretry.opt_out(
            record_sms_consent.phone, record_sms_consent.source, smsretry.clock(), record_sms_consent.business_id) s;
    else
        select s.customers, s.cancelled, 0 into customers, cancelled, unmarked
        from smsretry.set_consent(
            record_sms_consent.business_id, null, record_sms_consent.phone, 'opted_in', record_sms_consent.source,
            smsretry.clock()) s;
    end if;
    v_seen := smsretry.mark_words_read(
        (select smsretry.number_key('00000000-0000-0000-0000-000000000000', record_sms_consent.phone) from smsretry.secret),
        smsretry.clock());
    if customers + unmarked + v_seen = 0 then
        raise exception 'No customer has this number' using errcode = 'SR404',
            hint = 'Check it against customers.phone, where numbers are stored as E.164. Nothing was recorded.';
    end if;
    return next;
end
$$;
