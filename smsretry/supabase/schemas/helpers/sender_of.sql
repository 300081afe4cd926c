-- The sender of a business's texts of this class. All null: it has none of its own, and the environment's sends for it.
create or replace function smsretry.sender_of(business_id uuid, message_class text)
returns smsretry.senders language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
    v_sender smsretry.senders;
begin
    select s.* into v_sender
    from smsretry.business_senders b
    join smsretry.senders s on s.id = b.sender_id
    where b.business_id = sender_of.business_id and b.message_class in (sender_of.message_class, 'any')
    order by b.message_class = 'any' limit 1;
    return v_sender;
end
$$;
