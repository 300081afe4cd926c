-- The sender of this account and address, locked: a new one, or the one that others share already. A shared one keeps its
-- rate and cap; others are refused.
create or replace function smsretry.keep_sender(
    account text, sent_by text, segments_per_second double precision, segments_per_day integer
)
returns smsretry.senders language plpgsql set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_variable
declare
    v_problem constant text := coalesce(
        smsretry.sender_problem(account, sent_by), smsretry.limits_problem(segments_per_second, segments_per_day));
    v_sender smsretry.senders;
begin
    if v_problem is not null then
        raise exception '%', v_problem using errcode = 'SR422';
    end if;
    insert into smsretry.senders as s (account, sent_by, segments_per_second, segments_per_day)
    values (account, sent_by, segments_per_second, segments_per_day)
    on conflict on constraint senders_one do update set account = s.account -- locks it
    returning s.* into v_sender;
    if segments_per_second is not null and segments_per_second is distinct from v_sender.segments_per_second
        or segments_per_day is not null and segments_per_day is distinct from v_sender.segments_per_day then
        raise exception 'This sender has another rate or cap already (% a second, % a day): leave both out to share it as it is, or use change_sms_sender',
            coalesce(v_sender.segments_per_second::text, 'no limit'), coalesce(v_sender.segments_per_day::text, 'no limit')
            using errcode = 'SR422';
    end if;
    return v_sender;
end
$$;
