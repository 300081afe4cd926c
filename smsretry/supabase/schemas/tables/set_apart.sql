-- Businesses for which a trigger of the application's was slow, or refused a row. Their rows come last in a claim, one at a
-- time, and not before retry_at. A row that is taken quickly ends that. Their own rows cannot be written.
create table if not exists smsretry.set_apart (
    business_id uuid primary key,
    at timestamptz not null,
    retry_at timestamptz not null,
    why text not null,
    constraint set_apart_why check (length(why) <= 200)
);
comment on column smsretry.set_apart.why is 'What happened, for a person: how long it took, or the SQLSTATE. No words of the database''s, which may quote a row.';

revoke all on smsretry.set_apart from public, anon, authenticated;
grant select, insert, update, delete on smsretry.set_apart to service_role;
