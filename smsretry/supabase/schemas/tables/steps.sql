-- What a person did to a text or said of its customer, who it was and why. Append-only.
create table if not exists smsretry.steps (
    retry_id uuid not null references public.sms_retry_queue (id) on delete cascade,
    taken_at timestamptz not null,
    step text not null,
    who text not null,
    because text not null,
    constraint steps_step check (step in (
        'requeued', 'cancelled', 'went out', 'did not go out', 'put in doubt', 'looked again', 'opted in',
        'opted out')),
    constraint steps_lengths check (length(who) between 1 and 200 and length(because) between 1 and 500)
);
create index if not exists steps_retry on smsretry.steps (retry_id, taken_at);

-- Default privileges may be wide.
revoke all on smsretry.steps from public, anon, authenticated;
grant select, insert on smsretry.steps to service_role;
