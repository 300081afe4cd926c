-- Change a sender, for all who share it; for a person. Null leaves each value as it is. Returns:
-- smsretry.sender_changed.
--   named: its id, SID or number
--   segments_per_second, segments_per_day: another rate or cap; 0: no longer limited here
--   paused: true: its texts wait, visibly, and one that is under way goes out. false: what was
--     wrong with it is mended: its pause ends, and nothing of it is stopped any more
create or replace function public.change_sms_sender(
    named text,
    segments_per_second double precision default null,
    segments_per_day integer default null,
    paused boolean default null,
    who text default null,
    because text default null
)
returns table (sender_id uuid, sender text, businesses integer, released integer)
language plpgsql set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
    v_sender smsretry.senders;
begin
    perform smsretry.check_who_and_why(who, because);
    perform smsretry.check_limits(
        nullif(segments_per_second, 0),
        nullif(segments_per_day, 0)
    );
    if num_nonnulls(segments_per_second, segments_per_day, paused) = 0 then
        raise exception 'Say what changes: the rate (segments_per_second), the cap (segments_per_day), or paused'
            using errcode = 'SR422';
    end if;
    begin
        update smsretry.senders s
        set
            segments_per_second = nullif(
                coalesce(segments_per_second, s.segments_per_second),
                0
            ),
            segments_per_day = nullif(
                coalesce(segments_per_day, s.segments_per_day),
                0
            ),
            -- Slots were reserved at the old rate.
            free_at = case when segments_per_second is null then s.free_at end,
            paused_at = case
                when paused then coalesce(s.paused_at, smsretry.clock())
                when paused is null then s.paused_at
            end,
            why_paused = case
                when paused then because
                when paused is null then s.why_paused
            end
        where s.sent_by = named or s.id::text = lower(named)
        returning s.*
        into strict v_sender;
    exception
        when no_data_found then
            raise exception 'There is no such sender: look at the list of senders'
                using errcode = 'SR422',
                      hint = 'The default sender is listed once a worker has run.';
        when too_many_rows then
            raise exception 'Two accounts have this sender: name it by its id, as the list of senders has it'
                using errcode = 'SR422';
    end;
    if not paused then
        delete from smsretry.stops x
        where x.kind = 'sender' and x.subject = v_sender.id::text
          or x.kind = 'business'
              and x.subject in (
                  select b.business_id::text
                  from smsretry.business_senders b
                  where b.sender_id = v_sender.id
              );
    end if;
    return query
    select *
    from smsretry.sender_changed(
        v_sender,
        case
            when paused then 'paused'
            when not paused then 'resumed'
            else 'changed'
        end,
        who,
        because
    );
end
$$;
