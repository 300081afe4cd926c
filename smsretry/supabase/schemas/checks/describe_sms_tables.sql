-- What the catalog says of the five tables shared with the application, for `smsretry migrate` and `smsretry doctor`. What
-- must be so is in smsretry/adapters/migrations/shapes.py. Reads only.
--   kind: column (definition: an enum's labels, or the default) | check (of one column; name: of the constraint) | rule
create or replace function smsretry.describe_sms_tables()
returns table (relation text, kind text, name text, type text, not_null boolean, definition text)
language sql stable security invoker set search_path = pg_catalog, pg_temp as $$
    with shared as (
        select c.oid as id, c.relname::text as relation
        from pg_class c
        where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p')
          and c.relname in ('businesses', 'customers', 'send_logs', 'scheduled_sends', 'sms_retry_queue')
    )
    select s.relation, 'column' as kind, a.attname::text as name, format_type(a.atttypid, a.atttypmod) as type, a.attnotnull as not_null,
           coalesce((select 'enum ' || string_agg(quote_literal(e.enumlabel), ', ' order by e.enumsortorder)
                     from pg_enum e where e.enumtypid = a.atttypid),
                    'default ' || pg_get_expr(d.adbin, d.adrelid), '') as definition
    from shared s
    join pg_attribute a on a.attrelid = s.id and a.attnum > 0 and not a.attisdropped
    left join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
    union all
    select s.relation, 'check', k.conname::text, null, null, pg_get_constraintdef(k.oid)
    from shared s
    join pg_constraint k on k.conrelid = s.id and k.contype = 'c' and cardinality(k.conkey) = 1
    union all
    select s.relation, 'rule', r.rulename::text, null, null, pg_get_ruledef(r.oid)
    from shared s
    join pg_rewrite r on r.ev_class = s.id and r.is_instead
$$;
