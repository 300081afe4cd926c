-- Take its sender away from a business, whose texts go out from the default sender again; those of
-- a class, from the business's sender for any class if it has one. For a person. Returns:
-- smsretry.sender_changed.
create or replace function public.remove_sms_sender(
    business_id uuid,
    message_class text default null,
    who text default null,
    because text default null
)
returns table (sender_id uuid, sender text, businesses integer, released integer)
language plpgsql set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
    v_class constant text := coalesce(message_class, 'any');
    v_sender smsretry.senders;
begin
    perform smsretry.check_who_and_why(who, because);
    lock table smsretry.business_senders in share row exclusive mode; -- as add_sms_sender
    delete from smsretry.business_senders b
    using smsretry.senders s
    where b.business_id = business_id
      and b.message_class = v_class
      and s.id = b.sender_id
    returning s.*
    into v_sender;
    if v_sender.id is null then
        raise exception 'This business has no sender of its own for % texts',
            v_class
            using errcode = 'SR422',
                  hint = 'The list of senders has those that there are.';
    end if;
    return query
    select *
    from smsretry.sender_changed(
        v_sender,
        'removed',
        who,
        because,
        business_id,
        v_class
    );
end
$$;
