-- Stops that last until a text goes out again or a person lifts them, so that the next run knows them.
--   everybody: the provider takes nobody's texts · sender (its id): its account or its own trouble
--   · business (its id): its texts come to nothing while others' go out. Of each of these one text
--   is tried, again and again.
--   By a person: state (two letters), to which no marketing text goes; some US states forbid it
--   during a declared emergency · business_stopped (its id): none of its texts goes out
-- who: the person
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
