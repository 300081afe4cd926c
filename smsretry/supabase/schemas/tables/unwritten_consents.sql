-- What a number said to a business whose customers, or whose suppression, somebody else's transaction held locked. An opt-out
-- holds at once, as a suppression does; a START does not yet. The same call once more writes it where it belongs.
-- Nothing can make an insert wait: there is no unique key but the row's own, and no foreign key.
create table if not exists smsretry.unwritten_consents (
    id bigint generated always as identity primary key,
    number_key bytea not null,
    business_id uuid not null,
    consent text not null,
    since timestamptz not null,
    source text,
    constraint unwritten_consents_consent check (consent in ('opted_out', 'opted_in'))
);
create index if not exists unwritten_consents_number on smsretry.unwritten_consents (number_key);

revoke all on smsretry.unwritten_consents from public, anon, authenticated;
grant select, insert, update, delete on smsretry.unwritten_consents to service_role;
