-- Keep on record what a person did to a sender.
create or replace function smsretry.note_sender_step(
    sender smsretry.senders, step text, who text, because text, business_id uuid default null, message_class text default null
)
returns void language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    insert into smsretry.sender_steps (sender_id, taken_at, step, who, because, account, sent_by, business_id, message_class)
    values (sender.id, smsretry.clock(), note_sender_step.step, note_sender_step.who, note_sender_step.because,
            sender.account, sender.sent_by, note_sender_step.business_id, note_sender_step.message_class);
end
$$;
