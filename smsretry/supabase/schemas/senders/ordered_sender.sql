-- The sender that a person's order names by its id, its SID or its number, locked. Refused if there is none, or more than one.
create or replace function smsretry.ordered_sender(named text, who text, because text)
returns smsretry.senders language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    v_ids uuid[];
    v_sender smsretry.senders;
begin
    perform smsretry.check_who_and_why(who, because);
    v_ids := array(
        select s.id from smsretry.senders s where s.sent_by = ordered_sender.named or s.id::text = lower(ordered_sender.named) limit 2);
    select s.* into v_sender from smsretry.senders s where s.id = v_ids[1] for update;
    if v_sender.id is null then
        raise exception 'There is no such sender: sms_senders lists them'
            using errcode = 'SR422', hint = 'That of the runners'' environment is listed when one of them has run.';
    elsif cardinality(v_ids) > 1 then
        raise exception 'Two accounts have this sender: name it by its id, as sms_senders lists it' using errcode = 'SR422';
    end if;
    return v_sender;
end
$$;
