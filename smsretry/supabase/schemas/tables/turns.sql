-- Which business was served when, by kind of work: who was served longest ago goes first, and whoever was never served before
-- all others. Only a claim that cannot take all that is due writes here.
create table if not exists smsretry.turns (
    kind text not null,
    business_id uuid not null,
    served timestamptz not null,
    primary key (kind, business_id),
    constraint turns_kind check (kind in ('texts', 'doubtful', 'scheduled', 'deliveries'))
);
-- Behind the business that was served last, the next claim looks for others.
create index if not exists turns_served on smsretry.turns (kind, served, business_id);
