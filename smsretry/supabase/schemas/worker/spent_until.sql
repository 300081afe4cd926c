-- When the day turns over at the carriers, if the sender has no room left in it for so many segments; null: it has. A text with
-- more segments than a whole day has goes out when nothing else did. Notes on the sender how far it was counted, or each begin
-- of a long day would count all of it; and that it is spent, so that the next claims know, once there is no room for a single
-- segment. Never waits: others in this transaction may hold what the holder of the sender's row wants.
create or replace function smsretry.spent_until(sender smsretry.senders, segments integer, at timestamptz)
returns timestamptz language plpgsql set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_variable
declare
    -- By then, the outcome is known of almost all; one that is in doubt counts.
    v_settled constant timestamptz := at - interval '1 minute';
    v_used record;
    v_turns_at timestamptz;
    v_spent_until timestamptz;
begin
    select * into v_used from smsretry.day_used(sender, at, v_settled);
    if v_used.segments + least(coalesce(segments, 1), sender.segments_per_day) > sender.segments_per_day then
        v_turns_at := (smsretry.carriers_day(at)).ends;
    end if;
    v_spent_until := case when v_used.segments >= sender.segments_per_day then v_turns_at end;
    if v_used.afresh > 200 or (v_spent_until, sender.segments_per_day) is distinct from (sender.spent_until, sender.spent_cap)
            and v_spent_until is not null then
        update smsretry.senders s
        set counted_to = case when v_used.afresh > 200 then v_settled else s.counted_to end,
            counted_segments = case when v_used.afresh > 200 then v_used.settled else s.counted_segments end,
            spent_until = coalesce(v_spent_until, s.spent_until),
            spent_cap = case when v_spent_until is not null then sender.segments_per_day else s.spent_cap end
        where s.id = (select f.id from smsretry.senders f where f.id = sender.id for update skip locked);
    end if;
    return v_turns_at;
end
$$;
