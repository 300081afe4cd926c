-- Restores from a backup. An older text may have gone out after since, so it is looked for at Twilio before its next message
-- leaves: smsretry.forgotten. Written by doubt_sms_retries.
create table if not exists smsretry.restores (
    since timestamptz primary key,
    restored_at timestamptz not null,
    who text not null,
    because text not null,
    constraint restores_order check (since <= restored_at),
    constraint restores_lengths check (length(who) between 1 and 200 and length(because) between 1 and 500)
);
comment on table smsretry.restores is 'Each restore from a backup that somebody told of.';
comment on column smsretry.restores.since is 'When the backup was taken.';
comment on column smsretry.restores.restored_at is 'When somebody told of the restore, before anything ran. What was begun from then on is on record.';

revoke all on smsretry.restores from public, anon, authenticated;
grant select, insert on smsretry.restores to service_role;
