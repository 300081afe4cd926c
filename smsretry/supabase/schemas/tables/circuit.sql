-- The circuit breaker between runs: a sender's row exists while its account, or Twilio itself, cannot send.
create table if not exists smsretry.circuit (
    sender text primary key default '',
    opened_at timestamptz not null,
    why text not null
);

revoke all on smsretry.circuit from public, anon, authenticated;
grant select, insert, update, delete on smsretry.circuit to service_role;
