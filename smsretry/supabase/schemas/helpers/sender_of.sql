-- Return the sender of a business's texts of this class: its own, or else the default sender, which
-- a run named last. All null: no run has named one yet.
create or replace function smsretry.sender_of(business_id uuid, message_class text)
returns smsretry.senders
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
    v_sender smsretry.senders;
begin
    select s.*
    into v_sender
    from smsretry.senders s
    where s.id = coalesce(
        (
            select o.sender_id
            from smsretry.own_senders o
            where o.business_id = sender_of.business_id
              and o.message_class = sender_of.message_class
        ),
        (
            select t.id
            from smsretry.senders t
            where t.named_at is not null
            order by t.named_at desc
            limit 1
        )
    );
    return v_sender;
end
$$;
