-- A person's word on what this database is: at most one row. Production names the only address at
-- which workers may text everybody, so that a copy of it texts nobody, however it was copied.
-- smsretry.mark_mismatch has the rule.
create table if not exists smsretry.mark (
    one boolean primary key default true,
    kind text not null,
    -- host, port if it is not the usual one, and path, of the SUPABASE_URL that production's
    -- workers have
    address text,
    marked_at timestamptz not null,
    who text not null,
    because text not null,
    constraint mark_one check (one),
    constraint mark_kind check (kind in ('production', 'staging')),
    -- A production without an address would be one everywhere, its copies included.
    constraint mark_address check (
        (kind = 'production') = (address is not null)
        and length(address) between 1 and 300
    ),
    constraint mark_lengths check (
        length(who) between 1 and 200
        and length(because) between 1 and 500
    )
);
