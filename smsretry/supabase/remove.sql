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
create temporary table listed_index (name text, relation text) on commit drop;
-- The list: written by `python -m tests.record_schema`.
alter table public.businesses drop constraint if exists businesses_sms_daily_cap;
alter table public.businesses drop constraint if exists businesses_sms_hours;
alter table public.scheduled_sends drop constraint if exists scheduled_sends_held;
alter table public.scheduled_sends drop constraint if exists scheduled_sends_instants;
alter table public.scheduled_sends drop constraint if exists scheduled_sends_lengths;
alter table public.scheduled_sends drop constraint if exists scheduled_sends_message_class;
alter table public.scheduled_sends drop constraint if exists scheduled_sends_queued;
alter table public.scheduled_sends drop constraint if exists scheduled_sends_use;
alter table public.sms_retry_queue drop constraint if exists sms_retry_queue_attempts;
alter table public.sms_retry_queue drop constraint if exists sms_retry_queue_instants;
alter table public.sms_retry_queue drop constraint if exists sms_retry_queue_message_class;
alter table public.sms_retry_queue drop constraint if exists sms_retry_queue_reason;
alter table public.sms_retry_queue drop constraint if exists sms_retry_queue_status;
drop function if exists public.add_sms_sender(uuid,text,text,text,double precision,integer,text,text,boolean,boolean);
drop function if exists public.after_sms_restore(timestamp with time zone,boolean,text,text);
drop function if exists public.begin_sms_attempt(uuid,bigint,uuid,timestamp with time zone,text,boolean,integer,interval,text,interval,timestamp with time zone,uuid,text,text,integer,double precision,text,boolean,text);
drop function if exists public.change_sms_sender(text,double precision,integer,boolean,text,text);
drop function if exists public.change_sms_texts(text,jsonb,boolean,text,text,integer);
drop function if exists public.check_sms_retries(integer);
drop function if exists public.claim_due_sms_retries(integer);
drop function if exists public.claim_sms_deliveries(integer,interval,text[]);
drop function if exists public.claim_sms_retry(uuid,text,text);
drop function if exists public.claim_sms_texts(integer,text,text,jsonb,boolean,uuid[]);
drop function if exists public.defer_sms_retry(uuid,bigint,timestamp with time zone,text,text,interval,timestamp with time zone,text,interval,boolean);
drop function if exists public.end_sms_retry(uuid,bigint,text,text,integer,text);
drop function if exists public.examine_sms_retries();
drop function if exists public.explain_sms(uuid,text,integer,text,text);
drop function if exists public.finish_sms_attempt(uuid,bigint,uuid,text,text,text,integer,text,interval,text,boolean,boolean,text,text);
drop function if exists public.finish_sms_delivery(uuid,integer,text,text,integer,interval,interval,text,text,boolean,boolean);
drop function if exists public.finish_sms_run(uuid,text,boolean);
drop function if exists public.group_sms_calls(jsonb);
drop function if exists public.import_sms_opt_outs(jsonb,uuid,boolean,boolean,text,text,text);
drop function if exists public.list_sms(jsonb,integer);
drop function if exists public.mark_sms_database(text,text,text,text);
drop function if exists public.note_sms_number(uuid,boolean,text,integer);
drop function if exists public.preview_sms_retries(timestamp with time zone,timestamp with time zone,uuid,integer,uuid[]);
drop function if exists public.prune_sms_history(integer,integer,boolean);
drop function if exists public.queue_scheduled_sms(integer,interval,interval,uuid[]);
drop function if exists public.queue_sms_retry(uuid,text,integer,timestamp with time zone,text,interval,integer,interval,text);
drop function if exists public.reconcile_sms_retry(uuid,bigint,text,text,text,interval,text,text[],interval,text);
drop function if exists public.record_inbound_sms(text,text,text,text,text,text,text);
drop function if exists public.record_sms_consent(text,text,text,uuid,uuid,text,text);
drop function if exists public.recover_stuck_sms_retries(integer,interval,interval);
drop function if exists public.remove_sms_sender(uuid,text,text,text);
drop function if exists public.resolve_sms_doubt(uuid,text,text,text);
drop function if exists public.sample_sms_customers();
drop function if exists public.schedule_sms(uuid,uuid,text,timestamp with time zone,timestamp with time zone,text,uuid,uuid);
drop function if exists public.set_sms_stop(text,text,text,text,boolean);
drop function if exists public.settle_sms_attempt(uuid,text,text,text,integer,text);
drop function if exists public.slow_sms_sender(text,text,double precision);
drop function if exists public.sms_businesses(text);
drop function if exists public.sms_report(text,uuid,timestamp with time zone,timestamp with time zone);
drop function if exists public.sms_senders(uuid,integer,boolean,uuid,boolean);
drop function if exists public.sms_status();
drop function if exists public.start_sms_run(uuid,integer,text,text,text,text,jsonb);
drop function if exists public.try_sms_retry_queue(text,text);
drop function if exists public.unread_sms_words();
insert into listed_index values ('customers_phone', 'public.customers');
insert into listed_index values ('scheduled_sends_customer', 'public.scheduled_sends');
insert into listed_index values ('scheduled_sends_due', 'public.scheduled_sends');
insert into listed_index values ('send_logs_customer_changed', 'public.send_logs');
insert into listed_index values ('send_logs_twilio_sid', 'public.send_logs');
insert into listed_index values ('sms_retry_queue_customer', 'public.sms_retry_queue');
insert into listed_index values ('sms_retry_queue_ended', 'public.sms_retry_queue');
insert into listed_index values ('sms_retry_queue_one_live_row', 'public.sms_retry_queue');
insert into listed_index values ('sms_retry_queue_turns', 'public.sms_retry_queue');
insert into listed_index values ('sms_retry_queue_why', 'public.sms_retry_queue');
insert into listed_index values ('sms_retry_queue_work', 'public.sms_retry_queue');
insert into listed_index values ('sms_send_attempts_begun', 'public.sms_send_attempts');
insert into listed_index values ('sms_send_attempts_number', 'public.sms_send_attempts');
insert into listed_index values ('sms_send_attempts_open', 'public.sms_send_attempts');
insert into listed_index values ('sms_send_attempts_refused', 'public.sms_send_attempts');
delete from supabase_migrations.schema_migrations
where (version, name) in (('20261128000100', 'schema'), ('20261128000200', 'adopt_an_installation'));
-- The end of the list.
do $$
declare
    v_index regclass;
begin
    for v_index in -- another table may have an index of that name
        select i.indexrelid
        from listed_index l
        join pg_catalog.pg_index i on i.indrelid = to_regclass(l.relation)
        join pg_catalog.pg_class c on c.oid = i.indexrelid and c.relname = l.name
    loop
        execute format('drop index %s', v_index);
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
