-- Removes smsretry from a database, as its owner: psql "$DATABASE_URL" -v ON_ERROR_STOP=1 -f remove.sql
-- Functions, triggers, indexes and constraints that another processor does not know go. Each table of the application stays
-- with its columns and rows, scheduled_sends and the history in sms_send_attempts included.
begin;
do $$
declare
    ours record;
begin
    -- Opt-outs that stand though a customer's row says otherwise, for instance because it was imported anew.
    if to_regclass('smsretry.standing_opt_outs') is not null then
        update public.customers c set sms_consent_status = 'opted_out'
        where c.phone is not null and c.sms_consent_status <> 'opted_out'
          and exists (select from smsretry.standing_opt_outs o where o.number_key = smsretry.number_key(c.business_id, c.phone));
    end if;
    for ours in
        select p.oid::regprocedure as name from pg_catalog.pg_proc p
        where p.pronamespace = 'public'::regnamespace and p.proname ~ '(^|_)sms(_|$)'
          and 'search_path=pg_catalog, pg_temp' = any (p.proconfig)
    loop
        execute format('drop function if exists %s cascade', ours.name);
    end loop;
    for ours in
        select k.conrelid::regclass as of, k.conname as name from pg_catalog.pg_constraint k
        where k.contype = 'c' and k.conname !~ '_check$'
          and k.conname ~ '^(businesses_sms_hours$|sms_retry_queue_|sms_send_attempts_|scheduled_sends_)'
    loop
        execute format('alter table %s drop constraint %I', ours.of, ours.name);
    end loop;
    for ours in
        select c.oid::regclass as name from pg_catalog.pg_class c
        where c.relkind = 'i' and c.relnamespace = 'public'::regnamespace and c.relname !~ '_(idx|key|pkey)$'
          and c.relname ~ '^((sms_retry_queue|sms_send_attempts|scheduled_sends)_|customers_phone$|send_logs_(customer_changed|twilio_sid)$)'
          and not exists (select from pg_catalog.pg_constraint k where k.conindid = c.oid)
    loop
        execute format('drop index %s', ours.name);
    end loop;
end
$$;
drop schema smsretry cascade;
-- Nobody knows whether these went out. Another processor would send them again.
update public.sms_retry_queue set status = 'failed', last_error = 'In doubt when smsretry was removed'
where status in ('pending', 'processing') and (in_doubt_since is not null or begun_at is not null);
update public.sms_retry_queue set claimed_at = null, begun_at = null where claimed_at is not null;
grant delete, truncate on public.sms_retry_queue to service_role;
-- Ours: of the time before the first release by their version, later ones by the line that `python -m tests.record_schema` begins with.
delete from supabase_migrations.schema_migrations
where version between '20261125000100' and '20261128000200' and statements::text like '%smsretry%'
   or statements[1] like '-- Written from the files of supabase/schemas: %';
commit;
