-- Messaging services and numbers that send, each in an account of the provider's. Its account and
-- address never change: a business that moves gets another sender, and its attempts still name the
-- old one. The default sender, which a run named last, serves every business without its own.
create table if not exists smsretry.senders (
    id uuid primary key default gen_random_uuid(),
    account text not null, -- at the provider; its credentials are the runner's
    sent_by text not null, -- a messaging service's SID, or a number
    -- when a run last named it as the default sender; null: none did
    named_at timestamptz,
    segments_per_second double precision, -- null: as fast as the provider takes them
    -- what a carrier takes until midnight Pacific time; null: not limited here
    segments_per_day integer,
    paused_at timestamptz,
    why_paused text, -- why its texts wait; null: it sends
    -- when its next slot comes: those before are reserved, or the provider asked to go slower
    free_at timestamptz,
    day_ends_at timestamptz,
    day_segments bigint not null default 0, -- begun in the day that ends at day_ends_at
    created_at timestamptz not null default now(),
    constraint senders_one unique (account, sent_by),
    -- Ids of the provider's, or a number in E.164.
    constraint senders_ids check (
        account ~ '^[A-Za-z0-9]{8,64}$'
        and sent_by ~ '^([+][1-9][0-9]{6,14}|[A-Za-z0-9]{8,64})$'
        and account <> sent_by
    ),
    -- Above 1,000 a second it is no rate, and below one in 100 seconds it would hardly send.
    constraint senders_rate check (segments_per_second between 0.01 and 1000),
    constraint senders_cap check (segments_per_day > 0),
    constraint senders_paused check (
        (paused_at is null) = (why_paused is null)
        and length(why_paused) between 1 and 500
    )
);
create index if not exists senders_sent_by on smsretry.senders (sent_by);

-- The senders that businesses have of their own: smsretry.own_senders.
create table if not exists smsretry.business_senders (
    business_id uuid not null references public.businesses (id) on delete cascade,
    message_class text not null default 'any',
    sender_id uuid not null references smsretry.senders (id),
    primary key (business_id, message_class),
    -- One of a class outranks the one for any class.
    constraint business_senders_class check (
        message_class in ('any', 'marketing', 'transactional')
    )
);
create index if not exists business_senders_sender on smsretry.business_senders (sender_id, business_id);
