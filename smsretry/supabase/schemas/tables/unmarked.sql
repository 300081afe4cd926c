-- Numbers whose customers do not all say yet what was said (smsretry.mark_customers).
create table if not exists smsretry.unmarked (
    id bigint generated always as identity primary key,
    phone text not null,
    businesses uuid[] not null,
    since timestamptz not null, -- when it was tried first
    due timestamptz not null -- when a run tries it again
);

create index if not exists unmarked_due on smsretry.unmarked (due);
