-- Dates of opt-ins, to the second, that lift no opt-out, whichever row bears them: written before they came, on the row that
-- opted out, or on a row that received the number. Kept while they could lift an opt-out. Without a key of its own no insert waits.
create table if not exists smsretry.stale_opt_ins (
    id bigint generated always as identity primary key,
    number_key bytea not null,
    at timestamptz not null
);
comment on column smsretry.stale_opt_ins.number_key is 'smsretry.number_key: business and number, hashed.';
create index if not exists stale_opt_ins_number on smsretry.stale_opt_ins (number_key);

revoke all on smsretry.stale_opt_ins from public, anon, authenticated;
grant select on smsretry.stale_opt_ins to service_role;
