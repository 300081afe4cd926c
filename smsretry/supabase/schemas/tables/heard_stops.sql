-- Which senders heard the STOPs that hold for a number at a business. Another sender's START takes none of them back. A STOP
-- whose sender nobody knows is not here. Without a key of its own no insert waits.
create table if not exists smsretry.heard_stops (
    id bigint generated always as identity primary key,
    number_key bytea not null,
    senders text[] not null,
    since timestamptz not null
);
comment on column smsretry.heard_stops.number_key is 'smsretry.number_key: business and number, hashed.';
comment on column smsretry.heard_stops.senders is 'As smsretry.heard_by has them.';
create index if not exists heard_stops_number on smsretry.heard_stops (number_key);

revoke all on smsretry.heard_stops from public, anon, authenticated;
grant select, insert, delete on smsretry.heard_stops to service_role;
