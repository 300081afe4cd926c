-- For a person: what was wrong with a sender is mended. Its pause ends, and nothing of it is stopped any more. named: its id, SID or
-- number. Returns: smsretry.sender_changed.
create or replace function public.resume_sms_sender(named text, because text, who text)
returns table (sender_id uuid, sender text, businesses integer, released integer)
language plpgsql security invoker set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_variable
declare
    v_sender constant smsretry.senders := smsretry.ordered_sender(named, who, because);
begin
    update smsretry.senders s set paused_at = null, paused_because = null where s.id = v_sender.id;
    delete from smsretry.stops x
    where x.kind = 'sender' and x.subject = v_sender.id::text
       or x.kind = 'business' and x.subject in (
           select b.business_id::text from smsretry.business_senders b where b.sender_id = v_sender.id);
    return query select * from smsretry.sender_changed(v_sender, 'resumed', who, because);
end
$$;
