-- For a person: a business's texts go out from the sender of the runners' environment again; those of a class, from the
-- business's sender for any class if it has one. Texts that waited because of the sender are due at once. The sender itself
-- goes when nobody uses it. Returns the sender, how many businesses still use it, and how many texts became due.
create or replace function public.remove_sms_sender(
    business_id uuid, message_class text default null, who text default null, because text default null
)
returns table (sender_id uuid, sender text, businesses integer, released integer)
language plpgsql security invoker set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_variable
declare
    v_class constant text := coalesce(message_class, 'any');
    v_sender smsretry.senders;
begin
    perform smsretry.check_who_and_why(who, because);
    select s.* into v_sender
    from smsretry.business_senders b join smsretry.senders s on s.id = b.sender_id
    where b.business_id = business_id and b.message_class = v_class for update of s, b;
    if v_sender.id is null then
        raise exception 'This business has no sender of its own for % texts', v_class
            using errcode = 'SR422', hint = 'sms_senders lists them.';
    end if;
    delete from smsretry.business_senders b where b.business_id = business_id and b.message_class = v_class;
    perform smsretry.note_event(v_sender.id, 'removed', who, because, jsonb_build_object(
        'account', v_sender.account, 'sender', smsretry.shown_sender(v_sender.sent_by), 'business_id', business_id, 'message_class', v_class));
    perform smsretry.forget_unused_senders();
    sender_id := v_sender.id;
    sender := smsretry.shown_sender(v_sender.sent_by);
    businesses := cardinality(smsretry.users_of(v_sender.id));
    released := smsretry.hurry_texts(array[business_id]);
    return next;
end
$$;
