-- In a group, wait for locks only as long as the group says (smsretry.wait, set by group_sms_calls). Every function that a
-- group may call begins with this.
create or replace function smsretry.wait_shortly()
returns void language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    if current_setting('smsretry.wait', true) <> '' then
        perform set_config('lock_timeout', current_setting('smsretry.wait'), true);
    end if;
end
$$;
