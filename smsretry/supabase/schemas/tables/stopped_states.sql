-- US states to which no marketing text goes until somebody lifts the stop: some forbid it during a declared emergency.
create table if not exists smsretry.stopped_states (
    state text primary key check (state ~ '^[A-Z]{2}$'),
    stopped_at timestamptz not null,
    why text not null
);

-- Default privileges may be wide.
revoke all on smsretry.stopped_states from public, anon, authenticated;
grant select, insert, update, delete on smsretry.stopped_states to service_role;
