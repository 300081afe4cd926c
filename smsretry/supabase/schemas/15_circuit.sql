-- The circuit breaker's memory between runs: at most one row, which is there while sending makes no sense because of the
-- account or of Twilio itself.
create table if not exists smsretry.circuit (
    only_one boolean primary key default true check (only_one),
    opened_at timestamptz not null,
    why text not null
);

-- Default privileges may be wide.
revoke all on smsretry.circuit from public, anon, authenticated;
grant select, insert, update, delete on smsretry.circuit to service_role;
