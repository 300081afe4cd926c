-- List the words of smsretry.why_code that are of these kinds. They are those of WHY_CODES_OF in
-- smsretry/vocabulary.py, from which `python -m tests.record_schema` writes them here.
create or replace function smsretry.why_codes_of(variadic kinds text[])
returns text[]
language sql immutable set search_path = pg_catalog, pg_temp as $$
    select array_agg(r.why_code)
    from (
        values
            ('place', 'quiet_hours'),
            ('place', 'daily_cap'),
            ('place', 'number_spelling'),
            ('place', 'no_time_zone'),
            ('place', 'no_opening'),
            ('place', 'hours_unreadable'),
            ('sender', 'sender_paused'),
            ('sender', 'no_credentials'),
            ('sender', 'account_refused'),
            ('sender', 'sending_stopped'),
            ('sender_limit', 'sender_rate'),
            ('sender_limit', 'day_spent'),
            ('passing', 'business_trouble'),
            ('passing', 'unreachable'),
            ('passing', 'locked'),
            ('passing', 'database_trouble'),
            ('passing', 'data_changed')
    ) r (kind, why_code)
    where r.kind = any (why_codes_of.kinds)
$$;
