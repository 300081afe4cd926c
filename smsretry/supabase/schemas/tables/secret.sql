-- The key of the hashes of phone numbers. It is made here, and known to nobody else.
create table if not exists smsretry.secret (
    only_one boolean primary key default true check (only_one),
    key bytea not null default decode(
        replace(gen_random_uuid()::text || gen_random_uuid()::text, '-', ''),
        'hex'
    )
);
insert into smsretry.secret default values
on conflict do nothing;
