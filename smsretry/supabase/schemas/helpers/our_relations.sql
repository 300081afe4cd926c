-- The tables and views that smsretry defines or shares with the application. ours: the application has nothing in it.
create or replace function smsretry.our_relations()
returns table (id oid, named text, relkind "char", ours boolean)
language sql stable security invoker set search_path = pg_catalog, pg_temp as $$
    select c.oid, c.oid::regclass::text, c.relkind,
           n.nspname = 'smsretry' or c.relname in ('sms_retry_queue', 'sms_send_attempts')
    from pg_class c
    join pg_namespace n on n.oid = c.relnamespace
    where c.relkind in ('r', 'p', 'v', 'm', 'f')
      and (n.nspname = 'smsretry' or n.nspname = 'public' and c.relname in (
          'businesses', 'customers', 'send_logs', 'scheduled_sends', 'sms_retry_queue', 'sms_send_attempts'))
$$;
