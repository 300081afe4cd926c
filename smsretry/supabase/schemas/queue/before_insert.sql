-- A row that the application inserts: a text that its own processor has claimed keeps one live row, a text of which an
-- earlier send is in doubt stays in doubt about it, and an error of any length is kept to what is useful. It is as old as
-- its insert, by the one clock: its life counts from there, and a restored backup is told from what came after it.
-- security definer, because a tenant may insert rows and update none. If row level security then refuses the row, what
-- was done here is undone with it.
create or replace function smsretry.before_insert()
returns trigger language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    v_doubt record;
begin
    if new.status = 'pending' then
        new.created_at := smsretry.clock();
        perform smsretry.supersede(new.send_log_id, new.attempt_count);
        select * into v_doubt from smsretry.earlier_doubt(new.send_log_id, new.business_id);
        if v_doubt.attempt_id is not null then
            new.attempt_id := v_doubt.attempt_id;
            new.in_doubt_since := v_doubt.since;
            new.why := v_doubt.why;
            new.why_code := 'in_doubt';
        end if;
    end if;
    new.last_error := left(new.last_error, smsretry.longest_reason());
    return new;
end
$$;
