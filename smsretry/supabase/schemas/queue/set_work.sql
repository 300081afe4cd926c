-- Sort a row of the queue by its kind of work, whoever writes it. No generated column does this: a publication may not
-- carry one, and PostgreSQL 18 then refuses every update of a table whose replica identity is full.
-- security definer, because a tenant may not call smsretry.work.
create or replace function smsretry.set_work()
returns trigger language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    new.work := smsretry.work(new.status, new.recover_count, new.in_doubt_since);
    return new;
end
$$;
