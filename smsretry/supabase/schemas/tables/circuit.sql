-- The circuit breaker's memory between runs: a sender's row is there while sending makes no sense because of the account or
-- of Twilio itself. One sender is the only one for now.
create table if not exists smsretry.circuit (
    sender text primary key default '',
    opened_at timestamptz not null,
    why text not null
);

-- Default privileges may be wide.
revoke all on smsretry.circuit from public, anon, authenticated;
grant select, insert, update, delete on smsretry.circuit to service_role;
