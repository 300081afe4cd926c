-- Record that a customer says stop or yes by telephone or letter; for people. Either one also
-- answers the number's words that may mean stop, at that business (smsretry.answer_words).
--   phone: an opt-out by number counts also for whoever gets that number later; without a business
--     it is from all of them
--   consent: opted_out, opted_in, or unchanged (the words mean neither). An opt-in is given to one
--     business
--   customer_id: in place of phone: that customer's number at their business. who and because are
--     then needed, and are kept with the customer
--   customers: concerned
--   cancelled: texts that waited
--   unmarked: customers whose rows a later run marks; what was said holds for them, too
--   needs_start: the provider blocks the number all the same, until it texts START
create or replace function public.record_sms_consent(
    phone text,
    consent text,
    source text,
    business_id uuid default null,
    customer_id uuid default null,
    who text default null,
    because text default null
)
returns table (
    customers integer,
    cancelled integer,
    unmarked integer,
    needs_start boolean
)
language plpgsql set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
    k_number constant text := '^[+][1-9][0-9]{6,14}$';
    v_now constant timestamptz := smsretry.clock();
    v_phone text := phone;
    v_business uuid := business_id;
    v_words integer;
    v_businesses uuid[];
begin
    if (consent in ('opted_in', 'opted_out', 'unchanged')) is not true
        or num_nonnulls(phone, customer_id) <> 1
        or phone !~ k_number
        or coalesce(btrim(source), '') = ''
    then
        raise exception 'phone must be E.164, consent opted_in, opted_out or unchanged, and source must say how it is known'
            using errcode = 'SR422',
                  hint = 'A customer_id may take the place of phone.';
    end if;
    if num_nonnulls(customer_id, who, because) > 0 then
        perform smsretry.check_who_and_why(who, because);
    end if;
    if customer_id is not null then
        select c.phone, c.business_id
        into v_phone, v_business
        from public.customers c
        where c.id = customer_id;
        if not found
            or v_business is distinct from coalesce(business_id, v_business)
        then
            raise exception 'No customer has this id'
                using errcode = 'SR404',
                      hint = 'Check it against customers.id, and business_id against the customer''s. Nothing was recorded.';
        end if;
        -- those who share '' or 'n/a' are not one person
        v_phone := case when v_phone ~ k_number then v_phone end;
    elsif consent = 'opted_in' and business_id is null then
        raise exception 'A yes is given to one business: name its customer by customer_id'
            using errcode = 'SR422';
    elsif business_id is not null
        and not exists (
            select from public.businesses b
            where b.id = business_id
        ) then
        raise exception 'No business has this id'
            using errcode = 'SR404',
                  hint = 'Check it against businesses.id. Nothing was recorded.';
    end if;
    customers := 0;
    cancelled := 0;
    unmarked := 0;
    if consent = 'opted_out' and v_phone is not null then
        v_businesses := case
            when v_business is null
                then smsretry.businesses_of(v_phone) || null::uuid
            else array[v_business]
        end;
        perform smsretry.keep_opt_out(b.id, v_phone, source, v_now)
        from unnest(v_businesses) b (id);
        select m.opted_out, m.cancelled, m.unmarked
        into customers, cancelled, unmarked
        from smsretry.mark_customers(v_businesses, v_phone) m;
    elsif consent = 'opted_in' and v_phone is not null then
        needs_start := exists (
            select from smsretry.standing_opt_outs o
            where o.number_key = smsretry.number_key(v_business, v_phone)
              and smsretry.start_takes_back(o.source, true)
        );
        insert into smsretry.consents (number_key, business_id, said, source, at)
        values (
            smsretry.number_key(v_business, v_phone),
            v_business,
            'opted_in',
            left(source, 200),
            v_now
        );
        select m.opted_in, m.unmarked
        into customers, unmarked
        from smsretry.mark_customers(array[v_business], v_phone) m;
    elsif consent <> 'unchanged' then
        update public.customers c
        set
            sms_consent_status = consent,
            sms_consent_at = v_now,
            sms_consent_source = source
        where c.id = customer_id;
        customers := 1;
    end if;
    v_words := smsretry.answer_words(v_phone, v_business);
    if consent <> 'opted_out'
        and v_words = 0
        and customers + unmarked = 0
    then
        raise exception '%',
            case consent
                when 'opted_in' then 'No customer has this number'
                else 'No text of this number waits to be read'
            end
            using errcode = 'SR404',
                  hint = 'Check it against customers.phone, where numbers are stored as E.164. Nothing was recorded.';
    end if;
    if who is not null then
        perform smsretry.note_event(
            c.id,
            case consent when 'unchanged' then 'consent_unchanged' else consent end,
            who,
            because
        )
        from public.customers c
        where (c.phone = v_phone or c.id = customer_id)
          and (
              v_business is null
              or (c.business_id = v_business) is true
          );
    end if;
    return next;
end
$$;
