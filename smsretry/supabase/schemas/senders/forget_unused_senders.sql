-- Delete the senders that no business uses. Attempts keep what they went out from. A circuit goes with its sender, or it
-- would count as one of the environment's. In two steps: what is locked first is looked at again, and whoever is about to
-- share one is not disturbed.
create or replace function smsretry.forget_unused_senders()
returns void language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    v_unused constant uuid[] := array(
        select s.id from smsretry.senders s
        where not exists (select from smsretry.business_senders b where b.sender_id = s.id)
        order by s.id for update skip locked);
    v_sender smsretry.senders;
begin
    for v_sender in
        delete from smsretry.senders s
        where s.id = any (v_unused) and not exists (select from smsretry.business_senders b where b.sender_id = s.id)
        returning s.*
    loop
        if not exists (select from smsretry.senders s where s.sent_by = v_sender.sent_by) then
            perform smsretry.close_sender_circuits(v_sender.sent_by);
        end if;
    end loop;
end
$$;
