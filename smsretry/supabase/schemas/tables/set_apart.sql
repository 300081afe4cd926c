-- Businesses whose rows could not be taken with everybody's: a trigger of the application's that was slow for one of them,
-- or that refused it. Their rows come last in a claim, one at a time, and not before retry_at, so that nobody else waits for
-- them. An entry goes when one of their rows is taken as fast as any. It is kept here because their own rows are what cannot
-- be written.
create table if not exists smsretry.set_apart (
    business_id uuid primary key,
    at timestamptz not null,
    retry_at timestamptz not null,
    why text not null,
    constraint set_apart_why check (length(why) <= 200)
);
comment on column smsretry.set_apart.why is 'What happened, for a person: how long it took, or the SQLSTATE. No words of the database''s, which may quote a row.';

-- Default privileges may be wide.
revoke all on smsretry.set_apart from public, anon, authenticated;
grant select, insert, update, delete on smsretry.set_apart to service_role;
