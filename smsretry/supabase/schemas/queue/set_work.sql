-- Set the column work. A generated column would do, but PostgreSQL 18 publishes none, and then
-- refuses each update of a table whose replica identity is full. security definer, because a tenant
-- may not call smsretry.work.
create or replace function smsretry.set_work()
returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
    new.work := smsretry.work(new.status, new.recover_count, new.in_doubt_since);
    return new;
end
$$;
