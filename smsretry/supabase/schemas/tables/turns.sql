-- The business served last, by kind of work. The next claim begins behind it, in order of the businesses' ids, so that
-- nobody waits for more than one round. Claims at the same moment each go round from a place of their own.
create table if not exists smsretry.turns (
    kind text not null,
    place integer not null,
    after uuid not null,
    primary key (kind, place),
    constraint turns_kind check (kind in ('texts', 'doubtful', 'scheduled', 'deliveries'))
)
-- Rewritten by every claim that cannot take all there is.
with (fillfactor = 20);

-- They begin apart, so that claims at the same moment do not meet.
insert into smsretry.turns (kind, place, after)
select k.kind, p.place, md5(k.kind || p.place)::uuid
from unnest(array['texts', 'doubtful', 'scheduled', 'deliveries']) as k (kind) cross join generate_series(1, 8) as p (place)
on conflict do nothing;

revoke all on smsretry.turns from public, anon, authenticated;
grant select, insert, update, delete on smsretry.turns to service_role;
