-- What a person did to a sender, who it was and why. Append-only, and kept when the sender is gone.
create table if not exists smsretry.sender_steps (
    id bigint generated always as identity primary key,
    sender_id uuid not null,
    taken_at timestamptz not null,
    step text not null,
    who text not null,
    because text not null,
    account text not null,
    sent_by text not null,
    business_id uuid,
    message_class text,
    constraint sender_steps_step check (step in ('added', 'changed', 'paused', 'resumed', 'removed')),
    constraint sender_steps_lengths check (length(who) between 1 and 200 and length(because) between 1 and 500)
);
comment on column smsretry.sender_steps.business_id is 'Which business got it or lost it. Null: the step was about the sender itself.';
create index if not exists sender_steps_sender on smsretry.sender_steps (sender_id, taken_at);

-- Default privileges may be wide.
revoke all on smsretry.sender_steps from public, anon, authenticated;
grant select, insert on smsretry.sender_steps to service_role;
