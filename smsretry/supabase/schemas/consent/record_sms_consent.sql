-- Record that a customer says stop or yes by telephone or letter; for people. Either one also
-- answers the number's words that may mean stop, at that business.
--   phone: an opt-out by number counts also for whoever gets that number later; without a business
--     it is from all of them
--   consent: opted_out, opted_in, or unchanged (the words mean neither). An opt-in is given to one
--     business
--   customer_id: in place of phone: the customer, whatever becomes of the number, and the number at
--     their business. who and because are then needed
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
    v_phone text := phone;
    v_business uuid := business_id;
    v_is_number boolean;
    v_businesses uuid[];
    v_customers uuid[];
    v_words bigint[];
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

    -- those who share '' or 'n/a' are not one person
    v_is_number := v_phone ~ k_number;
    v_customers := array(
        select c.id
        from public.customers c
        where (v_is_number and c.phone = v_phone or c.id = customer_id)
          and (v_business is null or (c.business_id = v_business) is true)
    );
    if consent = 'opted_in' and v_customers = '{}'
        or consent = 'unchanged'
            and not exists (
                select from smsretry.objections(
                    array(
                        select c.business_id
                        from unnest(v_customers) n (id)
                        join public.customers c on c.id = n.id
                    ) || v_business,
                    array_fill(v_phone, array[cardinality(v_customers) + 1]),
                    v_customers || null::uuid
                ) o
                where (o.word).said = 'unsure'
            )
    then
        raise exception '%',
            case consent
                when 'opted_in' then 'No customer has this number'
                else 'No text of this number waits to be read'
            end
            using errcode = 'SR404',
                  hint = 'Check it against customers.phone, where numbers are stored as E.164. Nothing was recorded.';
    end if;
    v_businesses := case
        when v_business is null then smsretry.businesses_of(v_phone) || null::uuid
        else array[v_business]
    end;
    needs_start := consent = 'opted_in'
        and exists (
            select from smsretry.objections(array[v_business], array[v_phone], array[customer_id]) o
            where smsretry.start_takes_back((o.word).source, true)
        );
    v_words := smsretry.keep_words(
        smsretry.words_at(
            v_businesses,
            v_phone,
            consent,
            source,
            case when consent = 'opted_out' then smsretry.clock() end,
            customer_id => customer_id
        ),
        everyone => v_is_number,
        marks => consent <> 'unchanged'
    );
    select
        case consent when 'opted_in' then m.opted_in else m.opted_out end,
        m.cancelled,
        m.unmarked
    into customers, cancelled, unmarked
    from smsretry.write_consent(v_words) m;
    perform smsretry.words_answered(v_phone, customer_id);
    if who is not null then
        perform smsretry.note_event(
            c.id,
            case consent when 'unchanged' then 'consent_unchanged' else consent end,
            who,
            because,
            case
                when c.id is null then jsonb_build_object('number', smsretry.masked(v_phone))
                else '{}'
            end
        )
        from unnest(coalesce(nullif(v_customers, '{}'), array[null::uuid])) c (id);
    end if;
    return next;
end
$$;
