-- Who sends for whom. A sender is a messaging service or a number, in an account of the provider's. Its account and address
-- never change: a business that moves gets another sender, and its attempts still name the old one. Who has none of its own is
-- sent for by the environment's sender: the one that a runner has told last.
create table if not exists smsretry.senders (
    id uuid primary key default gen_random_uuid(),
    account text not null,
    sent_by text not null,
    told_at timestamptz,
    segments_per_second double precision,
    segments_per_day integer,
    paused_at timestamptz,
    paused_because text,
    free_at timestamptz,
    day_ends_at timestamptz,
    day_segments bigint not null default 0,
    created_at timestamptz not null default now(),
    constraint senders_one unique (account, sent_by),
    -- Ids of the provider's, or a number in E.164. smsretry.sender_problem has their exact shapes.
    constraint senders_ids check (
        account ~ '^[A-Za-z0-9]{8,64}$' and sent_by ~ '^([+][1-9][0-9]{6,14}|[A-Za-z0-9]{8,64})$' and account <> sent_by),
    -- Above 1,000 a second it is no rate, and below one in 100 seconds it would hardly send.
    constraint senders_rate check (segments_per_second between 0.01 and 1000),
    constraint senders_cap check (segments_per_day > 0),
    constraint senders_paused check ((paused_at is null) = (paused_because is null) and length(paused_because) between 1 and 500)
);
comment on column smsretry.senders.account is 'The provider''s account that owns it: a subaccount''s SID, or that of a business''s own account. Credentials are the runner''s.';
comment on column smsretry.senders.sent_by is 'A messaging service''s SID, or a number.';
comment on column smsretry.senders.told_at is 'When a runner last told that it is the sender of its environment. Null: of businesses alone.';
comment on column smsretry.senders.segments_per_second is 'What it sends. Null: as fast as the provider takes them.';
comment on column smsretry.senders.segments_per_day is 'What a carrier takes of it in a day, which turns over at midnight Pacific time. Null: not limited here.';
comment on column smsretry.senders.paused_because is 'Why its texts wait. Null: it sends.';
comment on column smsretry.senders.free_at is 'Until when its time is given away: what is begun next goes out then. One for all machines.';
comment on column smsretry.senders.day_segments is 'What has begun in the day that ends at day_ends_at, if it has a cap.';
create index if not exists senders_sent_by on smsretry.senders (sent_by);

-- Which sender a business's texts go out from.
create table if not exists smsretry.business_senders (
    business_id uuid not null references public.businesses (id) on delete cascade,
    message_class text not null default 'any',
    sender_id uuid not null references smsretry.senders (id),
    primary key (business_id, message_class),
    -- One of a class outranks the one for any class.
    constraint business_senders_class check (message_class in ('any', 'marketing', 'transactional'))
);
create index if not exists business_senders_sender on smsretry.business_senders (sender_id, business_id);

revoke all on smsretry.senders, smsretry.business_senders from public, anon, authenticated;
grant select, insert, update, delete on smsretry.senders, smsretry.business_senders to service_role;
