-- The sender of a business's texts of this class, as a claim tells it, and its circuit. Null: smsretry.sender_of. The
-- environment's circuit is that of any sender which smsretry.is_environments.
create or replace function smsretry.sender_now(
    business_id uuid, message_class text, out sent_by text, out sender jsonb, out opened_at timestamptz
)
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
    v_sender constant smsretry.senders := smsretry.sender_of(sender_now.business_id, sender_now.message_class);
begin
    if v_sender.id is null then
        opened_at := (
            select min(c.opened_at) from smsretry.circuit c
            where c.sender <> '' and ( -- as smsretry.is_environments, which is dear for hundreds of open ones
                not exists (select from smsretry.senders s where s.sent_by = c.sender)
                or exists (select from smsretry.default_senders d where d.sent_by = c.sender) and smsretry.is_environments(c.sender)));
        return;
    end if;
    sent_by := v_sender.sent_by;
    sender := jsonb_build_object(
        'id', v_sender.id, 'account', v_sender.account, 'sent_by', v_sender.sent_by,
        'segments_per_second', v_sender.segments_per_second, 'segments_per_day', v_sender.segments_per_day,
        'paused_because', v_sender.paused_because, 'spent_until', smsretry.spent_day(v_sender, smsretry.clock()));
    opened_at := (select c.opened_at from smsretry.circuit c where c.sender = v_sender.sent_by);
end
$$;
