-- Give a business a sender, for all its texts or those of one class, from now on; for a person. A
-- sender that is known already is shared, and keeps its rate and cap. A text that is under way ends
-- where it began. Returns: smsretry.sender_changed.
--   account, sent_by: the provider's ids, or a number of ours in E.164. The adapter knows their
--     exact shapes. No value is quoted: it may be somebody's number
--   message_class: null: any; one of a class outranks it
--   segments_per_second, segments_per_day: null: not limited here
--   replace: take the place of an active sender; a paused one is always replaced
--   dry_run: check all this, and do nothing
create or replace function public.add_sms_sender(
    business_id uuid,
    account text,
    sent_by text,
    message_class text default null,
    segments_per_second double precision default null,
    segments_per_day integer default null,
    who text default null,
    because text default null,
    replace boolean default false,
    dry_run boolean default false
)
returns table (sender_id uuid, sender text, businesses integer, released integer)
language plpgsql set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
    v_class constant text := coalesce(message_class, 'any');
    v_problem text;
    v_sender smsretry.senders;
    v_earlier smsretry.senders;
begin
    perform smsretry.check_who_and_why(who, because);
    v_problem := case
        when v_class not in ('any', 'marketing', 'transactional')
            then 'message_class must be marketing or transactional; leave it out for both'
        when not exists (
            select from public.businesses b
            where b.id = business_id
        )
            then 'There is no business with this id'
        when (
            account ~ '^[A-Za-z0-9]{8,64}$' and account ~ '[A-Za-z]'
        ) is not true
            then 'account must be the account''s id, as the provider shows it'
        when (
            sent_by ~ '^([A-Za-z0-9]{8,64}|[+][1-9][0-9]{6,14})$'
            and sent_by ~ '[+A-Za-z]'
            and sent_by <> account
        ) is not true
            then 'sent_by must be the sender''s id, as the provider shows it, or a number in E.164 (+12125550100)'
    end;
    if v_problem is not null then
        raise exception '%', v_problem using errcode = 'SR422';
    end if;
    perform smsretry.check_limits(segments_per_second, segments_per_day);
    -- one order after another; claims only read
    lock table smsretry.business_senders in share row exclusive mode;
    begin
        insert into smsretry.senders as s (
            account,
            sent_by,
            segments_per_second,
            segments_per_day
        )
        values (account, sent_by, segments_per_second, segments_per_day)
        on conflict on constraint senders_one
        do update set account = s.account
        returning s.*
        into v_sender;
        if segments_per_second is not null
            and segments_per_second is distinct from v_sender.segments_per_second
            or segments_per_day is not null
                and segments_per_day is distinct from v_sender.segments_per_day
        then
            raise exception 'This sender has another rate or cap already (% a second, % a day): leave both out to share it as it is, or use change_sms_sender',
                coalesce(v_sender.segments_per_second::text, 'no limit'),
                coalesce(v_sender.segments_per_day::text, 'no limit')
                using errcode = 'SR422';
        end if;
        select s.*
        into v_earlier
        from smsretry.business_senders b
        join smsretry.senders s on s.id = b.sender_id
        where b.business_id = business_id
          and b.message_class = v_class;
        if v_earlier.id <> v_sender.id
            and v_earlier.paused_at is null
            and replace is not true
        then
            raise exception 'This business already has an active sender for % texts: % of account %. Replace it (replace => true, or --replace), or remove or pause it first',
                v_class,
                smsretry.shown_sender(v_earlier.sent_by),
                v_earlier.account
                using errcode = 'SR422';
        end if;
        insert into smsretry.business_senders (
            business_id,
            message_class,
            sender_id
        )
        values (business_id, v_class, v_sender.id)
        on conflict on constraint business_senders_pkey
        do update set sender_id = excluded.sender_id;
        select *
        into sender_id, sender, businesses, released
        from smsretry.sender_changed(
            v_sender,
            'added',
            who,
            because,
            business_id,
            v_class
        );
        if dry_run then -- it has been tried, and is undone
            raise exception 'rolled back' using errcode = 'SR001';
        end if;
    exception
        when sqlstate 'SR001' then
            released := 0;
    end;
    return next;
end
$$;
