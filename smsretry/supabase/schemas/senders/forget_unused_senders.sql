-- Delete the senders that no business uses, and what is stopped of them. Attempts keep what they went out from. A sender that a
-- runner told stays. In two steps: what is locked first is looked at again, and whoever is about to share one is not disturbed.
create or replace function smsretry.forget_unused_senders()
returns void language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    v_unused constant uuid[] := array(
        select s.id from smsretry.senders s
        where s.told_at is null and not exists (select from smsretry.business_senders b where b.sender_id = s.id)
        order by s.id for update skip locked);
begin
    with gone as (
        delete from smsretry.senders s
        where s.id = any (v_unused) and not exists (select from smsretry.business_senders b where b.sender_id = s.id)
        returning s.id)
    delete from smsretry.stops x using gone g where x.kind = 'sender' and x.subject = g.id::text;
end
$$;
