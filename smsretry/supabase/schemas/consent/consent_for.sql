-- Tell which consent a customer's row should show; nulls: it does already. It is the opt-out that
-- stands and is hardest to take back. If none stands, the last word to us counts: an opt-in, or a
-- START, which gives back the consent that a STOP by the same number ended (unknown: somebody must
-- ask).
create or replace function smsretry.consent_for(
    customer_id uuid,
    out status text,
    out at timestamptz,
    out source text
)
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
    v_row public.customers;
    v_consent text;
    v_keys bytea[];
    v_last_word record;
begin
    select *
    into v_row
    from public.customers c
    where c.id = consent_for.customer_id;
    v_consent := smsretry.consent(v_row.sms_consent_status::text);
    select 'opted_out', (o.word).dated, (o.word).source
    into status, at, source
    from smsretry.objections(
        array[v_row.business_id],
        array[v_row.phone::text],
        array[v_row.id]
    ) o
    where (o.word).said = 'opted_out'
    limit 1;
    if found then
        if v_consent = 'opted_out'
            and (
                smsretry.start_takes_back(source)
                or not smsretry.start_takes_back(v_row.sms_consent_source::text)
            ) then
            status := null;
        end if;
        return;
    end if;
    v_keys := array[
        smsretry.number_key(v_row.business_id, v_row.phone),
        smsretry.number_key(v_row.business_id, v_row.id::text)
    ];
    select i.source, i.at, i.dated
    into v_last_word
    from smsretry.consents i
    where i.subject_key = any (v_keys) and i.said = 'opted_in'
    order by i.id desc
    limit 1;
    if not found or v_last_word.dated is not null then
        return; -- the application's own word
    end if;
    at := v_last_word.at;
    source := v_last_word.source;
    if v_last_word.source not in ('inbound_start', 'inbound_yes') then
        if (v_consent = 'opted_in' and v_row.sms_consent_at >= v_last_word.at) is not true then
            status := 'opted_in';
        end if;
    elsif v_consent = 'opted_out'
        and smsretry.start_takes_back(
            v_row.sms_consent_source::text,
            v_last_word.source = 'inbound_yes'
        ) then
        source := 'inbound_start';
        status := coalesce(
            (
                select w.was
                from smsretry.consents w
                where w.subject_key = v_keys[2]
                  and w.number_key = smsretry.number_key(null, v_row.phone)
                  and w.said in ('opted_out', 'unsure')
                  and w.was is not null
                order by w.id desc
                limit 1
            ),
            'unknown'
        );
    end if;
end
$$;
