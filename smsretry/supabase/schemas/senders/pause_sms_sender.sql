-- For a person: texts of a sender wait, visibly, until it is resumed. One that is under way goes out. named: its id, SID or
-- number. Returns: smsretry.sender_changed.
create or replace function public.pause_sms_sender(named text, because text, who text)
returns table (sender_id uuid, sender text, businesses integer, released integer)
language plpgsql security invoker set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_variable
declare
    v_sender constant smsretry.senders := smsretry.ordered_sender(named, who, because);
begin
    update smsretry.senders s
    set paused_at = coalesce(s.paused_at, smsretry.clock()), paused_because = because
    where s.id = v_sender.id;
    return query select * from smsretry.sender_changed(v_sender, 'paused', who, because);
end
$$;
