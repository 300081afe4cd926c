-- For a person: texts of this business, or of one class, go out from this sender from now on. A sender that is known already
-- is shared. Texts that waited because of the one before are due at once; one that is under way ends where it began.
--   account, sent_by: smsretry.sender_problem has their shapes · message_class: null: any; one of a class outranks it
--   segments_per_second, segments_per_day: null: not limited here, or as the others have it who share it
--   replace: take the place of an active sender; a paused one is always replaced · dry_run: check all this, and do nothing
-- Returns the sender, how many businesses use it now, and how many texts became due.
create or replace function public.add_sms_sender(
    business_id uuid, account text, sent_by text, message_class text default null,
    segments_per_second double precision default null, segments_per_day integer default null,
    who text default null, because text default null, replace boolean default false, dry_run boolean default false
)
returns table (sender_id uuid, sender text, businesses integer, released integer)
language plpgsql security invoker set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_variable
declare
    v_class constant text := coalesce(message_class, 'any');
    v_sender smsretry.senders;
    v_had smsretry.senders;
begin
    perform smsretry.check_who_and_why(who, because);
    if v_class not in ('any', 'marketing', 'transactional') then
        raise exception 'message_class must be marketing or transactional; leave it out for both' using errcode = 'SR422';
    end if;
    if not exists (select from public.businesses b where b.id = business_id) then
        raise exception 'There is no business with this id' using errcode = 'SR422';
    end if;
    v_sender := smsretry.keep_sender(account, sent_by, segments_per_second, segments_per_day);
    sender_id := v_sender.id;
    sender := smsretry.shown_sender(v_sender.sent_by);
    select s.* into v_had
    from smsretry.business_senders b join smsretry.senders s on s.id = b.sender_id
    where b.business_id = business_id and b.message_class = v_class for update of b;
    if v_had.id <> v_sender.id and v_had.paused_at is null and replace is not true then
        raise exception 'This business already has an active sender for % texts: % of account %. Replace it (replace => true, or --replace), or remove or pause it first',
            v_class, smsretry.shown_sender(v_had.sent_by), v_had.account using errcode = 'SR422';
    end if;
    if dry_run then
        perform smsretry.forget_unused_senders();
        businesses := cardinality(smsretry.users_of(v_sender.id));
        released := 0;
        return next;
        return;
    end if;
    insert into smsretry.business_senders as b (business_id, message_class, sender_id)
    values (business_id, v_class, v_sender.id)
    on conflict on constraint business_senders_pkey do update set sender_id = excluded.sender_id
    -- Somebody else was faster: it is not known what theirs replaced.
    where b.sender_id is not distinct from v_had.id or b.sender_id = v_sender.id;
    if not found then
        raise exception 'Somebody else gives this business a sender at this moment: look, and give the order again' using errcode = 'SR422';
    end if;
    perform smsretry.note_event(v_sender.id, 'added', who, because, jsonb_build_object(
        'account', v_sender.account, 'sender', smsretry.shown_sender(v_sender.sent_by), 'business_id', business_id, 'message_class', v_class));
    perform smsretry.forget_unused_senders();
    businesses := cardinality(smsretry.users_of(v_sender.id));
    released := smsretry.hurry_texts(array[business_id]);
    return next;
end
$$;
