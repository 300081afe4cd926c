-- A row that the application inserts: a text that its own processor has claimed keeps one live row, and an error of any
-- length is kept to what is useful.
-- security definer, because a tenant may insert rows and update none. If row level security then refuses the row, what
-- was done here is undone with it.
create or replace function smsretry.before_insert()
returns trigger language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    if new.status = 'pending' then
        perform smsretry.supersede(new.send_log_id, new.attempt_count);
    end if;
    new.last_error := left(new.last_error, 2000);
    return new;
end
$$;

revoke all on function smsretry.before_insert from public, anon, authenticated;
