-- Stops that last until a text goes out again or a person lifts them, so that the next run knows
-- them. While one of the first three lasts, each run tries one text of it.
--   kind:
--     everybody: the provider takes nobody's texts
--     sender: its account's or its own trouble
--     business: its texts come to nothing while others' go out
--     state: by a person; no marketing text goes there. Some US states forbid it during a declared
--       emergency
--     business_stopped: by a person; none of its texts goes out
--   subject: the id of the sender or business, or the state's two letters
--   who: the person
create table if not exists smsretry.stops (
    kind text not null,
    subject text not null default '',
    since timestamptz not null,
    why text not null,
    who text,
    primary key (kind, subject),
    constraint stops_kind check (
        kind in ('everybody', 'sender', 'business', 'state', 'business_stopped')
    ),
    constraint stops_subject check (
        case kind
            when 'everybody' then subject = ''
            when 'state' then subject ~ '^[A-Z]{2}$'
            else subject ~ '^[0-9a-f-]{36}$'
        end
    ),
    constraint stops_why check (length(why) between 1 and 2000)
);
