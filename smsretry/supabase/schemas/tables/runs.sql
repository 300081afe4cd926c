-- One row a run of a worker: when it began, and what it came to. A run that was killed cannot say
-- so; the next one does, from the attempts that name it.
create table if not exists smsretry.runs (
    id uuid primary key, -- in Prefect: the flow run of this id
    started_at timestamptz not null,
    finished_at timestamptz,
    summary text, -- its result, in numbers
    needs_attention boolean,
    interrupted_at timestamptz, -- when a later run noticed that it had never finished
    send_to text, -- whom its worker texts; null: all
    address text, -- at which it reached the database
    constraint runs_summary check (
        length(summary) <= 2000
        and (finished_at is null) = (summary is null)
    ),
    constraint runs_send_to check (send_to in ('all', 'listed', 'nobody')),
    constraint runs_address check (length(address) <= 300)
);

create index if not exists runs_started on smsretry.runs (started_at);
create index if not exists runs_unfinished on smsretry.runs (started_at) where finished_at is null and interrupted_at is null;
