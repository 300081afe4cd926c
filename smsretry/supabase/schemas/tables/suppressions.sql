-- Numbers that opted out of a business's texts. A suppression outlives the customer's row and is lifted only by an opt-in
-- that was recorded later.
create table if not exists smsretry.suppressions (
    number_key bytea primary key,
    business_id uuid not null references public.businesses (id) on delete cascade,
    since timestamptz not null,
    source text
);
comment on column smsretry.suppressions.number_key is 'smsretry.number_key: business and number, hashed.';

revoke all on smsretry.suppressions from public, anon, authenticated;
grant select, insert, update, delete on smsretry.suppressions to service_role;
