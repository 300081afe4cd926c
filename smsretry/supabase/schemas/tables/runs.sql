-- One row a run of a worker: when it began, and what it came to. A run that was killed never says so itself; the next one
-- does, from the attempts that name it.
create table if not exists smsretry.runs (
    id uuid primary key,
    started_at timestamptz not null,
    finished_at timestamptz,
    told text,
    needs_somebody boolean,
    interrupted_at timestamptz,
    send_to text,
    address text,
    constraint runs_told check (length(told) <= 2000 and (finished_at is null) = (told is null)),
    constraint runs_send_to check (send_to in ('all', 'listed', 'nobody')),
    constraint runs_address check (length(address) <= 300)
);
comment on column smsretry.runs.id is 'In Prefect: the flow run of this id.';
comment on column smsretry.runs.told is 'What it came to, in numbers.';
comment on column smsretry.runs.interrupted_at is 'When a later run noticed that it had never finished.';
comment on column smsretry.runs.send_to is 'Whom its worker texts: all, listed or nobody. Null: all.';
comment on column smsretry.runs.address is 'At which it reached the database.';

create index if not exists runs_started on smsretry.runs (started_at);
create index if not exists runs_unfinished on smsretry.runs (started_at) where finished_at is null and interrupted_at is null;

-- Default privileges may be wide.
revoke all on smsretry.runs from public, anon, authenticated;
grant select, insert, update on smsretry.runs to service_role;
