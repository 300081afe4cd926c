-- Until when each sender's time is given away: what it sends next, it sends then. One row a sender; all workers share it.
create table if not exists smsretry.sender_time (
    sender text primary key,
    free_at timestamptz not null,
    after uuid
);
comment on column smsretry.sender_time.after is 'Of a sender with a rate that several businesses share: the one served last. The next claim goes on behind it.';

-- Default privileges may be wide.
revoke all on smsretry.sender_time from public, anon, authenticated;
grant select, insert, update, delete on smsretry.sender_time to service_role;
