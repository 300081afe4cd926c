-- The embedded stack's clock can be moved forward. Nowhere else is smsretry.clock() replaced.
create schema if not exists smsretry_local;
create table if not exists smsretry_local.clock (shift interval primary key);
insert into smsretry_local.clock (shift)
select interval '0' where not exists (select 1 from smsretry_local.clock);
grant usage on schema smsretry_local to service_role;
grant select on smsretry_local.clock to service_role;

create or replace function smsretry.clock() returns timestamptz
language sql volatile set search_path = pg_catalog, pg_temp as $$
    select pg_catalog.clock_timestamp() + (select c.shift from smsretry_local.clock c)
$$;
