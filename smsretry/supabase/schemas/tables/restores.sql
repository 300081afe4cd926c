-- Restores from a backup. An older text may have gone out after since, so it is looked for at
-- Twilio before its next message
-- leaves: smsretry.forgotten. Written by record_restore.
create table if not exists smsretry.restores (
    since timestamptz primary key, -- when the backup was taken
    restored_at timestamptz not null, -- when that was noticed: what was begun from then on is on record
    who text not null,
    because text not null,
    run_id uuid unique, -- the run that the database had forgotten; null: a person said so
    constraint restores_order check (since <= restored_at),
    constraint restores_lengths check (
        length(who) between 1 and 200
        and length(because) between 1 and 500
    )
);
