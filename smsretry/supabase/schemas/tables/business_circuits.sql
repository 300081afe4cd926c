-- Businesses whose texts fail while others' go out: each run tries one text of theirs, and defers the rest. There is no
-- foreign key, so that no lock of a business's row holds up a run. What is a day old is forgotten.
create table if not exists smsretry.business_circuits (
    business_id uuid not null,
    sender text not null default '',
    opened_at timestamptz not null,
    tried_at timestamptz not null,
    why text not null,
    primary key (business_id, sender)
);
comment on column smsretry.business_circuits.tried_at is 'When the last of its texts was tried. While everybody''s circuit is open, who was tried longest ago goes first.';

revoke all on smsretry.business_circuits from public, anon, authenticated;
grant select, insert, update, delete on smsretry.business_circuits to service_role;
