-- Removes smsretry from a database, as its owner: psql "$DATABASE_URL" -v ON_ERROR_STOP=1 -f remove.sql
-- What smsretry made beside its tables goes, by the list below, and nothing else. Each table of the application stays
-- with its columns and rows, scheduled_sends and the history in sms_send_attempts included.
begin;
-- Opt-outs that stand though a customer's row says otherwise, for instance because it was imported anew.
do $$
declare
    v_rule text;
begin
    update public.customers c
    set
        sms_consent_status = 'opted_out',
        sms_consent_at = (o.word).dated,
        sms_consent_source = coalesce((o.word).source, 'unknown')
    from public.customers k
    cross join lateral (
        select a.word
        from smsretry.objections(array[k.business_id], array[k.phone::text], array[k.id]) a
        limit 1
    ) o
    where k.id = c.id
      and (o.word).said = 'opted_out'
      and smsretry.consent(c.sms_consent_status::text) is distinct from 'opted_out';
exception
    when integrity_constraint_violation then -- its detail would quote the number
        get stacked diagnostics v_rule = constraint_name;
        raise exception 'The rule % of customers refuses an opt-out', v_rule
            using hint = 'Change it, and run this file again. Nothing was changed.';
end
$$;
-- What the migration switched on, which shows nothing to a role without a policy.
do $$
begin
    if obj_description('smsretry'::regnamespace) like '% was off %' then
        alter table public.sms_retry_queue disable row level security;
        drop policy "Owners read their retries" on public.sms_retry_queue;
        drop policy "Owners queue retries of their texts" on public.sms_retry_queue;
        revoke all on public.sms_retry_queue from anon, authenticated;
    end if;
end
$$;
create temporary table views_before on commit drop as
select c.oid, c.oid::regclass::text as name
from pg_catalog.pg_class c
where c.relkind in ('v', 'm')
  and c.relnamespace <> 'smsretry'::regnamespace;
create temporary table listed (relation text, names text) on commit drop;
-- The list: written by `python -m tests.record_schema`.
insert into listed values
    ('businesses', 'businesses_sms_daily_cap businesses_sms_hours'),
    ('scheduled_sends', 'scheduled_sends_held scheduled_sends_instants scheduled_sends_lengths scheduled_sends_message_class scheduled_sends_queued scheduled_sends_use scheduled_sends_customer scheduled_sends_due'),
    ('sms_retry_queue', 'sms_retry_queue_attempts sms_retry_queue_instants sms_retry_queue_message_class sms_retry_queue_reason sms_retry_queue_status sms_retry_queue_customer sms_retry_queue_ended sms_retry_queue_one_live_row sms_retry_queue_turns sms_retry_queue_why sms_retry_queue_work'),
    ('its functions', 'add_sms_sender after_sms_restore begin_sms_attempt change_sms_sender change_sms_texts check_sms_retries claim_due_sms_retries claim_sms_deliveries claim_sms_retry claim_sms_texts defer_sms_retry end_sms_retry examine_sms_retries explain_sms finish_sms_attempt finish_sms_delivery finish_sms_run group_sms_calls import_sms_opt_outs list_sms mark_sms_database note_sms_number preview_sms_retries prune_sms_history queue_scheduled_sms queue_sms_retry reconcile_sms_retry record_inbound_sms record_sms_consent recover_stuck_sms_retries remove_sms_sender resolve_sms_doubt sample_sms_customers schedule_sms set_sms_stop settle_sms_attempt slow_sms_sender sms_businesses sms_report sms_senders sms_status start_sms_run try_sms_retry_queue unread_sms_words'),
    ('customers', 'customers_phone'),
    ('send_logs', 'send_logs_customer_changed send_logs_twilio_sid'),
    ('sms_send_attempts', 'sms_send_attempts_begun sms_send_attempts_number sms_send_attempts_open sms_send_attempts_refused');
delete from supabase_migrations.schema_migrations
where (version, name) in (('20261128000100', 'schema'), ('20261128000200', 'adopt_an_installation'));
-- The end of the list.
do $$
declare
    v_drop text;
begin
    for v_drop in -- another table, or the application, may have something of that name
        with parts as (
            select to_regclass('public.' || l.relation) as relation, n.name
            from listed l
            cross join string_to_table(l.names, ' ') n (name)
        )
        select format('drop function %s', f.oid::regprocedure)
        from parts p
        join pg_catalog.pg_proc f on f.proname = p.name
        where p.relation is null
          and f.pronamespace = 'public'::regnamespace
          and 'search_path=pg_catalog, pg_temp' = any (f.proconfig)
        union all
        select format('alter table %s drop constraint %I', p.relation, p.name)
        from parts p
        join pg_catalog.pg_constraint k on k.conrelid = p.relation and k.conname = p.name
        union all
        select format('drop index %s', i.indexrelid::regclass)
        from parts p
        join pg_catalog.pg_index i on i.indrelid = p.relation
        join pg_catalog.pg_class c on c.oid = i.indexrelid and c.relname = p.name
    loop
        execute v_drop;
    end loop;
end
$$;
drop schema smsretry cascade;
alter table public.sms_retry_queue drop column if exists work;
do $$
declare
    v_gone constant text := (
        select string_agg(b.name, ', ')
        from views_before b
        where not exists (select from pg_catalog.pg_class c where c.oid = b.oid)
    );
begin
    if v_gone is not null then
        raise exception 'Views of the application read what is smsretry''s: %', v_gone
            using hint = 'Drop them, or change them, and run this file again. Nothing was changed.';
    end if;
end
$$;
-- Nobody knows whether these went out. Another processor would send them again.
update public.sms_retry_queue
set status = 'failed', last_error = 'In doubt when smsretry was removed'
where status in ('pending', 'processing')
  and (in_doubt_since is not null or begun_at is not null);
update public.sms_retry_queue
set claimed_at = null, begun_at = null
where claimed_at is not null;
grant delete, truncate on public.sms_retry_queue to service_role;
do $$
begin
    if to_regrole('smsretry_reader') is null then
        return;
    end if;
    revoke usage on schema public from smsretry_reader;
    begin
        drop role smsretry_reader;
    exception
        when dependent_objects_still_exist or insufficient_privilege then
            raise notice 'The role smsretry_reader stays: %', sqlerrm;
    end;
end
$$;
commit;
