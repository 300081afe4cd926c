-- Whether tables, columns, constraints, indexes, triggers, policies and the grants of service_role exist. A trigger counts
-- only if it fires in an ordinary session.
create or replace function smsretry.check_parts(wanted jsonb)
returns table (subject text, ok boolean, advice text)
language sql stable security invoker set search_path = pg_catalog, pg_temp as $$
    with parts (kind, in_table, relation, name, definition) as (
        select k.key, e.value ->> 0, to_regclass(e.value ->> 0), e.value ->> 1, e.value ->> 2
        from jsonb_each(check_parts.wanted) k
        cross join jsonb_array_elements(k.value) e
        where k.key <> 'functions'
    ),
    missing (kind, in_table, name, definition) as (
        select p.kind, p.in_table, p.name, p.definition
        from parts p
        where p.relation is not null and not coalesce(case p.kind
            when 'columns' then exists (
                select 1 from pg_attribute a where a.attrelid = p.relation and a.attname = p.name and not a.attisdropped)
            when 'constraints' then exists (
                select 1 from pg_constraint k where k.conrelid = p.relation and k.conname = p.name)
            when 'indexes' then exists (
                select 1 from pg_index i join pg_class c on c.oid = i.indexrelid
                where i.indrelid = p.relation and c.relname = p.name and i.indisvalid)
            when 'triggers' then exists (
                select 1 from pg_trigger t where t.tgrelid = p.relation and t.tgname = p.name and t.tgenabled in ('O', 'A'))
            when 'policies' then exists (
                select 1 from pg_policy y where y.polrelid = p.relation and y.polname = p.name)
            when 'grants' then has_table_privilege('service_role', p.relation, p.name)
        end, false)
    )
    select 'tables and views', count(*) filter (where p.relation is null) = 0,
           'missing: ' || string_agg(distinct replace(p.in_table, 'public.', ''), ', ') filter (where p.relation is null)
               || '. Run `smsretry migrate --again`'
    from parts p
    having count(*) > 0
    union all
    select case k.kind when 'grants' then 'grants of service_role' else k.kind end, count(m.name) = 0,
           'missing or switched off: '
               || string_agg(m.name || ' of ' || split_part(m.in_table, '.', 2), ', ' order by m.in_table, m.name)
               -- `migrate --again` does not add to a table that exists.
               || case when min(m.definition) is null then '. Run `smsretry migrate --again`'
                       else '. Run: ' || string_agg('alter table ' || m.in_table || ' add ' || rtrim(m.kind, 's') || ' '
                                || m.name || ' ' || m.definition, '; ' order by m.in_table, m.name) end
    from (select distinct p.kind from parts p) k
    left join missing m on m.kind = k.kind
    group by k.kind
$$;
