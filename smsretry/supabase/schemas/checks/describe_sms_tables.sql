-- What the catalog says of the five tables shared with the application, for `smsretry migrate` and `smsretry doctor`. What
-- must be so is in smsretry/adapters/migrations/shapes.py. Reads only.
--   kind: table (type: its relkind)
--     | column (filled: it has a default, or writes itself; definition: generated, an enum's labels, or the default)
--     | unique (name: of the one column) | check (of one column; name: of the constraint)
--     | trigger (before each inserted or updated row; definition: its function's source) | rule (it replaces a write)
--     | dependent (such as a view on a function of the application's that smsretry replaces; definition: which)
create or replace function public.describe_sms_tables()
returns table (relation text, kind text, name text, type text, not_null boolean, filled boolean, definition text)
language sql stable security invoker set search_path = pg_catalog, pg_temp as $$
    with shared as (
        select c.oid as id, c.relname::text as relation, c.relkind
        from pg_class c
        where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p', 'v', 'm', 'f')
          and c.relname in ('businesses', 'customers', 'send_logs', 'scheduled_sends', 'sms_retry_queue')
    )
    select s.relation, 'table', s.relation, s.relkind::text, null::boolean, null::boolean, null::text from shared s
    union all
    select s.relation, 'column', a.attname::text, format_type(a.atttypid, a.atttypmod), a.attnotnull,
           a.atthasdef or a.attidentity <> '',
           case when a.attgenerated <> '' then 'generated'
                else coalesce((select 'enum ' || string_agg(quote_literal(e.enumlabel), ', ' order by e.enumsortorder)
                               from pg_enum e where e.enumtypid = a.atttypid),
                              'default ' || pg_get_expr(d.adbin, d.adrelid)) end
    from shared s
    join pg_attribute a on a.attrelid = s.id and a.attnum > 0 and not a.attisdropped
    left join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
    union all
    select s.relation, 'unique', a.attname::text, null, null, null, null
    from shared s
    join pg_index i on i.indrelid = s.id and i.indisunique and i.indisvalid and i.indpred is null and i.indnkeyatts = 1
    join pg_attribute a on a.attrelid = s.id and a.attnum = i.indkey[0]
    union all
    select s.relation, 'check', k.conname::text, null, null, null, pg_get_constraintdef(k.oid)
    from shared s
    join pg_constraint k on k.conrelid = s.id and k.contype = 'c' and cardinality(k.conkey) = 1
    union all
    select s.relation, 'trigger', t.tgname::text, null, null, null, p.prosrc
    from shared s
    -- The bits of tgtype: 1 for each row, 2 before, 4 insert, 16 update.
    join pg_trigger t on t.tgrelid = s.id and not t.tgisinternal and t.tgenabled in ('O', 'A')
        and t.tgtype & 3 = 3 and t.tgtype & (case s.relation when 'sms_retry_queue' then 20 else 16 end) <> 0
    join pg_proc p on p.oid = t.tgfoid
    union all
    select s.relation, 'rule', r.rulename::text, null, null, null, pg_get_ruledef(r.oid)
    from shared s
    join pg_rewrite r on r.ev_class = s.id and r.is_instead and r.ev_type in ('2', '3')
    union all
    select 'sms_retry_queue', 'dependent',
           regexp_replace(pg_describe_object(d.classid, d.objid, d.objsubid), '^rule \S+ on ', ''), null, null, null,
           p.oid::regprocedure::text
    from pg_proc p
    join pg_depend d on d.refclassid = 'pg_proc'::regclass and d.refobjid = p.oid and d.deptype = 'n'
    where p.pronamespace = 'public'::regnamespace
      and p.proname in ('claim_due_sms_retries', 'recover_stuck_sms_retries', 'queue_sms_retry')
      and not coalesce('search_path=pg_catalog, pg_temp' = any (p.proconfig), false)
$$;
