-- What to do if a function of the application's trigger did not find a table, function or type by its bare name: our
-- functions call it with our search_path, which does not have public. Empty if the error is another one. `context`: the
-- error's, which names the functions that were running.
create or replace function smsretry.advice_on_triggers(state text, context text)
returns text
language sql stable security invoker set search_path = pg_catalog, pg_temp as $$
    select coalesce(string_agg(
        '. Trigger ' || quote_ident(t.tgname) || ' of ' || t.tgrelid::regclass || ' calls ' || p.oid::regprocedure
            || ', which has no search_path of its own and here does not find what is in public. Run: alter '
            || case p.prokind when 'p' then 'procedure ' else 'function ' end || p.oid::regprocedure || ' set search_path = public'
            || case when to_regnamespace('extensions') is null then '' else ', extensions' end,
        '' order by t.tgrelid::regclass::text, t.tgname), '')
    from pg_trigger t
    join pg_class c on c.oid = t.tgrelid and c.relnamespace = 'public'::regnamespace
        and c.relname in ('businesses', 'customers', 'send_logs', 'scheduled_sends', 'sms_retry_queue')
    join pg_proc p on p.oid = t.tgfoid and p.pronamespace <> 'smsretry'::regnamespace
    where not t.tgisinternal and t.tgenabled in ('O', 'A')
      -- undefined_table, _function, _object, _column and invalid_schema_name
      and advice_on_triggers.state in ('42P01', '42883', '42704', '42703', '3F000')
      and not exists (select from unnest(p.proconfig) s where s like 'search\_path=%')
      and position(p.oid::regprocedure::text in advice_on_triggers.context) > 0
$$;
