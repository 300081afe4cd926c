-- One at a time to a number at a business: a begin, a consent and a refusal lock this before any row, against deadlocks.
create or replace function smsretry.lock_number(business_id uuid, phone text)
returns void language sql set search_path = pg_catalog, pg_temp as $$
    select pg_advisory_xact_lock(hashtextextended(lock_number.business_id::text || lock_number.phone, 0))
    where lock_number.phone is not null and lock_number.business_id is not null
$$;
