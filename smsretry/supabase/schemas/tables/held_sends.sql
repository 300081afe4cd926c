-- Scheduled sends that are held and cannot be told so in their own row, because a trigger or a rule refuses every change of
-- it. They are looked at again from here, and stand in nobody's way meanwhile. A row that is changed after all is taken out
-- by the trigger smsretry_scheduled_send_changed, and one that is gone by prune_sms_history.
create table if not exists smsretry.held_sends (
    scheduled_id uuid primary key,
    held_since timestamptz not null,
    look_at timestamptz not null,
    expired boolean not null,
    why text not null,
    constraint held_sends_why check (length(why) <= 2000)
);
comment on column smsretry.held_sends.expired is 'It was held for too long. Once its row can be changed, it is cancelled.';

-- Default privileges may be wide.
revoke all on smsretry.held_sends from public, anon, authenticated;
grant select, insert, update, delete on smsretry.held_sends to service_role;
