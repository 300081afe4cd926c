-- For a person: give a sender another rate or cap, for all who share it. Null leaves it as it is; unlimited: names of those
-- that are no longer limited here. named: its id, SID or number. Returns: smsretry.sender_changed.
create or replace function public.change_sms_sender(
    named text, segments_per_second double precision default null, segments_per_day integer default null,
    unlimited text[] default '{}', who text default null, because text default null
)
returns table (sender_id uuid, sender text, businesses integer, released integer)
language plpgsql security invoker set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_variable
declare
    v_sender constant smsretry.senders := smsretry.ordered_sender(named, who, because);
begin
    perform smsretry.check_limits(segments_per_second, segments_per_day);
    if (unlimited <@ array['segments_per_second', 'segments_per_day']) is not true
        or num_nonnulls(segments_per_second, segments_per_day) + cardinality(unlimited) = 0 then
        raise exception 'Say what changes: segments_per_second, segments_per_day, or unlimited with their names' using errcode = 'SR422';
    end if;
    update smsretry.senders s
    set segments_per_second = case when not 'segments_per_second' = any (unlimited) then coalesce(segments_per_second, s.segments_per_second) end,
        segments_per_day = case when not 'segments_per_day' = any (unlimited) then coalesce(segments_per_day, s.segments_per_day) end,
        -- What was given away was at the old rate.
        free_at = case when segments_per_second is null and not 'segments_per_second' = any (unlimited) then s.free_at end
    where s.id = v_sender.id;
    return query select * from smsretry.sender_changed(v_sender, 'changed', who, because);
end
$$;
