-- Restores from a backup, written by record_restore. An older text may have gone out after `since`,
-- so it is looked for at Twilio before its next message leaves (smsretry.doubt_forgotten).
create table if not exists smsretry.restores (
    since timestamptz primary key, -- when the backup was taken
    -- when that was noticed: what was begun from then on is on record
    restored_at timestamptz not null,
    who text not null,
    because text not null,
    run_id uuid unique, -- the run that the database had forgotten; null: a person said so
    constraint restores_order check (since <= restored_at),
    constraint restores_lengths check (
        length(who) between 1 and 200
        and length(because) between 1 and 500
    )
);
