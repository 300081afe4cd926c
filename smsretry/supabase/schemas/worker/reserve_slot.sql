-- Reserve a slot of its sender for a text of so many segments. All machines share the sender's rate
-- and its day. The caller has locked the text's number. Groups of calls come sorted by sender, so
-- that two of them do not deadlock.
--   account, sender: the sender's account and address
--   answer_seconds: how long until the worker knows the answer: the slot comes no sooner
--   answer:
--     go: the text leaves at until; null: now
--     sender_rate: all slots until then are reserved, for longer than a worker waits
--     day_spent: its day is spent until then
--     data_changed: the sender is paused
create or replace function smsretry.reserve_slot(
    account text,
    sender text,
    segments integer,
    answer_seconds double precision,
    at timestamptz,
    out answer text,
    out until timestamptz
)
language plpgsql set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_variable
declare
    k_longest constant interval := '2 seconds';
    v_sender smsretry.senders;
    v_midnight timestamptz;
    v_used bigint;
begin
    answer := 'go';
    select *
    into v_sender
    from smsretry.senders s
    where s.account = reserve_slot.account and s.sent_by = sender;
    if v_sender.segments_per_second is null
        and v_sender.segments_per_day is null
        and v_sender.paused_at is null
        and (v_sender.free_at < at) is not false
    then
        return; -- as most are: nothing is written
    end if;
    select *
    into v_sender
    from smsretry.senders s
    where s.id = v_sender.id
    for update;
    v_midnight := smsretry.carriers_midnight(at);
    v_used := case
        when v_sender.day_ends_at = v_midnight then v_sender.day_segments
        else 0
    end;
    until := greatest(
        v_sender.free_at,
        at + make_interval(
            secs => least(greatest(coalesce(answer_seconds, 0), 0), 2)
        )
    );
    if v_sender.paused_at is not null then
        answer := 'data_changed';
    elsif v_used > 0
        and v_used + segments > v_sender.segments_per_day
    then -- a text larger than the whole cap may go first on a new day
        answer := 'day_spent';
        until := v_midnight;
    elsif until > at + k_longest then
        answer := 'sender_rate';
    else
        update smsretry.senders s
        set
            free_at = case
                when s.segments_per_second is null then s.free_at
                else reserve_slot.until + make_interval(
                    secs => segments / s.segments_per_second
                )
            end,
            day_ends_at = case
                when s.segments_per_day is not null then v_midnight
            end,
            day_segments = case
                when s.segments_per_day is not null then v_used + segments
                else 0
            end
        where s.id = v_sender.id;
    end if;
end
$$;
