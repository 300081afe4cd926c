-- Opt-ins that say nothing new of a number, by the second they bear: such a date lifts no opt-out, however often it is
-- written, and by whichever row. It was written before it came, or stood on a row when that opted out, or came along with
-- a row that got the number. Kept while there is an opt-out that it would lift: whoever imports it may do so next year.
-- Nothing can make an insert wait: there is no unique key.
create table if not exists smsretry.stale_opt_ins (
    number_key bytea not null,
    at timestamptz not null
);
comment on column smsretry.stale_opt_ins.number_key is 'smsretry.number_key: business and number, hashed.';
create index if not exists stale_opt_ins_number on smsretry.stale_opt_ins (number_key);

revoke all on smsretry.stale_opt_ins from public, anon, authenticated;
grant select on smsretry.stale_opt_ins to service_role;
