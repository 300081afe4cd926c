-- A text's story beyond its attempts: what it waited for and how it ended (smsretry.keep_step), and what people did to it, who
-- they were and why. A text that goes out at the first try has no line.
create table if not exists smsretry.steps (
    id bigint generated always as identity primary key,
    retry_id uuid not null references public.sms_retry_queue (id) on delete cascade,
    taken_at timestamptz not null,
    step text not null,
    who text not null,
    because text not null,
    until timestamptz,
    times integer not null default 1,
    last_at timestamptz,
    since timestamptz,
    why_code text,
    -- The first row is people's. smsretry.step_of says what the others mean.
    constraint steps_step check (step in (
        'requeued', 'cancelled', 'went out', 'did not go out', 'put in doubt', 'looked again', 'opted in', 'opted out',
        'deferred', 'given back', 'held', 'to be tried again', 'taken back', 'in doubt', 'looked for', 'not found',
        'failed', 'completed', 'queued anew', 'put off', 'more')),
    constraint steps_lengths check (length(who) between 1 and 200 and length(because) between 1 and 500)
);
comment on column smsretry.steps.who is 'smsretry, the application, or the name that a person gave.';
comment on column smsretry.steps.until is 'Until when the text then waited.';
comment on column smsretry.steps.times is 'How often it happened in a row for the same reason, until last_at.';
comment on column smsretry.steps.last_at is 'When it happened last. Null: at taken_at.';
comment on column smsretry.steps.since is 'Since when the worker had the text that it was taken back from.';
create index if not exists steps_retry on smsretry.steps (retry_id, taken_at);

-- Default privileges may be wide.
revoke all on smsretry.steps from public, anon, authenticated;
grant select, insert on smsretry.steps to service_role;
