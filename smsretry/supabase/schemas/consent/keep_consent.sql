-- Keep what a statement of the application's writes to customers (smsretry.keep_changes), some
-- thousand rows at a time. security definer, because tenants may not write consents. A word that
-- cannot be kept refuses the write, and nobody takes it for kept.
create or replace function smsretry.keep_consent()
returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
    k_rows constant integer := 5000;
    v_changes smsretry.customer_change[] := '{}';
begin
    if tg_op = 'DELETE' then
        -- perhaps written while triggers were off
        perform smsretry.keep_words(
            array(
                select row(
                    o.business_id,
                    o.phone,
                    null,
                    'opted_out',
                    o.sms_consent_source::text,
                    o.sms_consent_at,
                    null,
                    null,
                    null
                )::smsretry.word
                from customers_before o
                where smsretry.consent(o.sms_consent_status::text) = 'opted_out'
            ),
            once => true
        );
    elsif tg_op = 'INSERT' then
        v_changes := array(
            select row(
                n.id,
                n.business_id,
                n.phone,
                smsretry.consent(n.sms_consent_status::text),
                n.sms_consent_source::text,
                n.sms_consent_at,
                true, null, null, null, null, null, null, null, null
            )::smsretry.customer_change
            from customers_after n
        );
    else
        v_changes := array(
            select row(
                n.id,
                n.business_id,
                n.phone,
                smsretry.consent(n.sms_consent_status::text),
                n.sms_consent_source::text,
                n.sms_consent_at,
                o.id is null, -- it has another id: nobody knows whose it was
                o.business_id,
                o.phone,
                smsretry.consent(o.sms_consent_status::text),
                o.sms_consent_source::text,
                o.sms_consent_at,
                null,
                null,
                null
            )::smsretry.customer_change
            from customers_after n
            left join customers_before o on o.id = n.id
            where (o.business_id, o.phone, o.sms_consent_status, o.sms_consent_at, o.sms_consent_source)
                is distinct from (n.business_id, n.phone, n.sms_consent_status, n.sms_consent_at, n.sms_consent_source)
        );
    end if;
    for v_first in 1 .. cardinality(v_changes) by k_rows loop
        perform smsretry.keep_changes(v_changes[v_first : v_first + k_rows - 1]);
    end loop;
    return null;
end
$$;
