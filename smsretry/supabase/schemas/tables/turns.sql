-- When each business was served last, by kind of work: who was served longest ago goes first, and
-- whoever was never served before all others. Only a claim that cannot take all that is due writes
-- here.
--   cursor: one row of this kind, the business where the last claim of texts stopped looking
create table if not exists smsretry.turns (
    kind text not null,
    business_id uuid not null,
    served timestamptz not null,
    primary key (kind, business_id),
    constraint turns_kind check (
        kind in ('texts', 'doubtful', 'scheduled', 'deliveries', 'cursor')
    )
) with (fillfactor = 70); -- rows are rewritten all day
