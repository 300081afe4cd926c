-- Keep opt-outs that customers' rows say and that nobody has received: they were written before
-- there was a trigger, or while it was off. Returns how many.
--   phone: of whoever has this number; null: of all
create or replace function smsretry.keep_rows(phone text default null)
returns integer
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    return cardinality(
        smsretry.keep_words(
            array(
                select row(
                    c.business_id,
                    c.phone,
                    case when (c.phone ~ '\d') is not true then c.id end,
                    'opted_out',
                    c.sms_consent_source::text,
                    c.sms_consent_at,
                    null,
                    null,
                    null
                )::smsretry.word
                from public.customers c
                where (keep_rows.phone is null or c.phone = keep_rows.phone)
                  -- first, because the call would take longer than all the rest
                  and c.sms_consent_status::text ilike '%opted_out%'
                  and smsretry.consent(c.sms_consent_status::text) = 'opted_out'
            ),
            once => true
        )
    );
end
$$;
