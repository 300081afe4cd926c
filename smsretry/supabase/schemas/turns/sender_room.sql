-- How many texts of a sender a claim may take; null: any number. sender_id: of smsretry.senders; null: the environment's, which
-- is `sender` and sends per_second. after: whose turn it was last among the businesses that share it.
--   room: about a second's worth; 0: it is not to be claimed from (`without`), or its time is given away until free_at
create or replace function smsretry.sender_room(
    sender_id uuid, sender text, per_second double precision, without text[], at timestamptz,
    out room integer, out free_at timestamptz, out after uuid
)
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_variable
declare
    v_sender smsretry.senders;
    v_sent_by text := sender;
    v_rate double precision := per_second;
begin
    if sender_id is not null then
        select * into v_sender from smsretry.senders s where s.id = sender_id;
        v_sent_by := v_sender.sent_by;
        v_rate := case when v_sent_by = sender then least(v_sender.segments_per_second, per_second)
                       else v_sender.segments_per_second end;
    end if;
    if v_sent_by = any (without) then
        room := 0;
        return;
    end if;
    select t.after, t.free_at into after, free_at from smsretry.sender_time t where t.sender = v_sent_by;
    -- Its worker puts these off, which costs no time of the sender.
    if v_sender.paused_at is not null or smsretry.spent_day(v_sender, at) is not null then
        free_at := null;
    -- More than an hour: a rate was set wrong, and lease_sms_time starts over.
    elsif free_at > at + smsretry.claims_ahead() and free_at <= at + interval '1 hour' then
        room := 0;
    else
        free_at := null;
        room := case when v_rate > 0 then greatest(least(v_rate, smsretry.largest_claim()), 1)::integer end;
        -- One is tried, and the others wait for it.
        if sender_id is not null and exists (select from smsretry.circuit c where c.sender = v_sent_by) then
            room := least(room, 3);
        end if;
    end if;
end
$$;
