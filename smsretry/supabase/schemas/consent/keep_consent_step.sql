-- Keep who recorded a consent and why, with the texts of those whom it is about: customers with the number at the business (null:
-- at each), and one customer by id. Those that were sent keep their story as it is.
create or replace function smsretry.keep_consent_step(
    business_id uuid, phone text, customer_id uuid, consent text, at timestamptz, who text, because text
)
returns void language sql set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_custom_plan as $$
    insert into smsretry.steps (retry_id, taken_at, step, who, because)
    select q.id, keep_consent_step.at, replace(keep_consent_step.consent, '_', ' '), keep_consent_step.who, keep_consent_step.because
    from public.sms_retry_queue q
    where q.status <> 'completed'
      -- An array, so that an index finds them without statistics.
      and q.customer_id = any (array(select c.id from public.customers c
                                     where (c.phone = keep_consent_step.phone or c.id = keep_consent_step.customer_id)
                                       and (keep_consent_step.business_id is null or c.business_id = keep_consent_step.business_id) is true))
    -- A worker's lock keeps nobody's word from being recorded.
    order by q.updated_at desc limit 100 for key share skip locked
$$;
