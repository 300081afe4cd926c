-- For a person: texts of a sender wait, visibly, until it is resumed. One that is under way goes out. named: its id, SID or
-- number.
create or replace function public.pause_sms_sender(named text, because text, who text)
returns table (sender_id uuid, sender text, businesses integer)
language plpgsql security invoker set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_variable
declare
    v_sender smsretry.senders;
begin
    perform smsretry.check_who_and_why(who, because);
    v_sender := smsretry.one_sender(named);
    update smsretry.senders s
    set paused_at = coalesce(s.paused_at, smsretry.clock()), paused_because = because
    where s.id = v_sender.id;
    select c.sender_id, c.sender, c.businesses into sender_id, sender, businesses
    from smsretry.sender_changed(v_sender, 'paused', who, because) c;
    return next;
end
$$;
