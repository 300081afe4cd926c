-- Written from the files of supabase/schemas: change those, and run `python -m tests.record_schema`.

-- Add a constraint that a table lacks. Rows that break it stay: it holds from their next change on.
create or replace function pg_temp.add_rule(relation text, name text, rule text) returns void language plpgsql as $$
begin
    if to_regclass(relation) is not null and not exists (
        select from pg_catalog.pg_constraint k where k.conrelid = to_regclass(relation) and k.conname = add_rule.name)
    then
        execute format('alter table %s add constraint %I %s', relation, name, rule)
            || case when rule like 'check%' then ' not valid' else '' end;
    end if;
end
$$;

-- ======== schemas/schema/schema.sql ========
-- The home of everything internal. PostgREST does not expose it: the API is the functions in
-- public.
create schema if not exists smsretry;
-- Said once, at first: remove.sql switches off what was off.
do $$
declare
    v_was_off constant text := ' Row level security of sms_retry_queue was off before.';
begin
    if obj_description('smsretry'::regnamespace) is null then
        execute format(
            'comment on schema smsretry is %L',
            'Internals of the SMS retry queue. Not exposed by PostgREST.'
                || coalesce(
                    (
                        select v_was_off
                        from pg_catalog.pg_class c
                        where c.oid = to_regclass('public.sms_retry_queue')
                          and not c.relrowsecurity
                    ),
                    ''
                )
        );
    end if;
end
$$;

-- A tenant's insert needs nothing in it: its trigger does what it does as the owner.
revoke all on schema smsretry from public, anon, authenticated;
grant usage on schema smsretry to service_role;

-- ======== schemas/policy/attempt_words.sql ========
-- The words of sms_send_attempts. Domains, because PostgreSQL parses a domain's check once a session,
-- and that of a table in each statement that writes to it.
do $$
begin
    if to_regtype('smsretry.outcome') is null then
        create domain smsretry.outcome as text
            constraint known check (value in ('accepted', 'rejected', 'not_sent', 'in_doubt'));
        create domain smsretry.settled_by as text
            constraint known check (
                value in ('response', 'callback', 'reconcile', 'operator', 'application')
            );
        -- Twilio's own words, and unknown: it reported nothing final for long enough.
        create domain smsretry.delivery_status as text
            constraint known check (
                value in (
                    'accepted',
                    'scheduled',
                    'queued',
                    'sending',
                    'sent',
                    'unknown',
                    'undelivered',
                    'failed',
                    'canceled',
                    'partially_delivered',
                    'delivered',
                    'read'
                )
            );
    end if;
end
$$;

-- ======== schemas/policy/carriers_midnight.sql ========
-- Tell when the carriers' day turns over next. T-Mobile's daily limit on a brand "resets at 00:00
-- Pacific".
create or replace function smsretry.carriers_midnight(at timestamptz)
returns timestamptz
language sql immutable set search_path = pg_catalog, pg_temp as $$
    select (
        date_trunc(
            'day',
            carriers_midnight.at at time zone 'America/Los_Angeles'
        ) + interval '1 day'
    ) at time zone 'America/Los_Angeles'
$$;

-- ======== schemas/policy/consent.sql ========
-- Read a customer's consent: opted_in, opted_out or unknown. Letters' case and blanks do not matter.
-- Null: nobody said anything; another value is one that we do not understand.
create or replace function smsretry.consent(status text)
returns text
language plpgsql immutable set search_path = pg_catalog, pg_temp as $$
begin
    return left(lower(btrim(status, E' \t\r\n') collate "C"), 40);
end
$$;

-- ======== schemas/policy/late_after.sql ========
-- Tell how late a text, or the end of a run, may be before a person must look.
create or replace function smsretry.late_after()
returns interval
language sql immutable set search_path = pg_catalog, pg_temp as $$
    select interval '10 minutes'
$$;

-- ======== schemas/policy/longest_body.sql ========
-- Tell how many characters a text may have (Twilio's API reference, Body; error 21617). A claim
-- returns one more of a longer body. Constraints repeat the numbers of this folder, because a check
-- does not follow a function; a test compares them.
create or replace function smsretry.longest_body()
returns integer
language sql immutable set search_path = pg_catalog, pg_temp as $$
    select 1600
$$;

-- ======== schemas/policy/longest_reason.sql ========
-- Tell how many characters a reason or an error may have: each claim's answer carries them.
create or replace function smsretry.longest_reason()
returns integer
language sql immutable set search_path = pg_catalog, pg_temp as $$
    select 2000
$$;

-- ======== schemas/policy/retry_delay.sql ========
-- Tell how long a text waits after so many sends from the queue; the last value repeats. The minutes
-- are those of RETRY_DELAYS in smsretry/retry/backoff.py: `python -m tests.record_schema`.
create or replace function smsretry.retry_delay(attempt_count integer)
returns interval
language plpgsql immutable set search_path = pg_catalog, pg_temp as $$
declare
    k_minutes constant integer[] := array[1, 5, 15];
begin
    return make_interval(
        mins => k_minutes[
            least(
                greatest(attempt_count, 0),
                cardinality(k_minutes) - 1
            ) + 1
        ]
    );
end
$$;

-- ======== schemas/policy/rows_of_claim.sql ========
-- Tell how many rows an answer may hold: limit_count (null: 50), and no more than 500, because
-- PostgREST cuts off answers at 1,000.
create or replace function smsretry.rows_of_claim(limit_count integer)
returns integer
language sql immutable set search_path = pg_catalog, pg_temp as $$
    select least(greatest(coalesce(limit_count, 50), 0), 500)
$$;

-- ======== schemas/policy/start_takes_back.sql ========
-- Say whether a START takes back a word of this source. It takes back a STOP, in the provider's
-- word or another, what may mean stop, and the provider's refusal, which reports a STOP that no
-- webhook heard. Any other opt-out (by telephone, by letter, in the application, unknown) lasts until
-- a later opt-in.
-- In plpgsql, which is cheaper to call.
--   by_yes: the START was a YES, which may answer another question: it takes back only what the
--     provider blocks
create or replace function smsretry.start_takes_back(
    source text,
    by_yes boolean default false
)
returns boolean
language plpgsql immutable set search_path = pg_catalog, pg_temp as $$
begin
    return coalesce(
        source in ('inbound_stop', 'provider_refusal')
        or source like 'twilio\_%'
        or source in ('inbound_words', 'inbound_unsure')
            and not by_yes,
        false
    );
end
$$;

-- ======== schemas/policy/why_code.sql ========
-- The reason why a text waits or has ended, in a word for programs. smsretry/vocabulary.py has the
-- words, with what each means; `python -m tests.record_schema` writes them here. Rows that were
-- there keep a word that is gone.
do $$
begin
    if to_regtype('smsretry.why_code') is null then
        create domain smsretry.why_code as text;
    end if;
end
$$;
alter domain smsretry.why_code drop constraint if exists known;
alter domain smsretry.why_code add constraint known check (value in (
    'quiet_hours', 'daily_cap', 'number_spelling', 'no_time_zone', 'no_opening', 'hours_unreadable',
    'sender_paused', 'no_credentials', 'account_refused', 'sending_stopped', 'sender_rate', 'day_spent',
    'business_trouble', 'unreachable', 'locked', 'database_trouble', 'data_changed', 'words_unread',
    'consent_unclear', 'state_stopped', 'business_stopped', 'mark_mismatch', 'destination_refused', 'in_doubt',
    'worker_died', 'restored', 'no_evidence', 'list_unavailable', 'ambiguous', 'at_capacity', 'already_queued',
    'claim_lost', 'rate_limited', 'refused_for_now', 'refused', 'attempts_used_up', 'undelivered',
    'delivery_open', 'opted_out', 'not_consented', 'already_sent', 'expired', 'not_listed', 'operator',
    'application', 'superseded', 'no_send_log', 'not_sms', 'no_customer', 'no_phone', 'number_invalid', 'no_body',
    'body_too_long', 'bad_row', 'id_taken', 'row_refused', 'unforeseen')) not valid;

-- ======== schemas/policy/why_codes_of.sql ========
-- List the words of smsretry.why_code that are of these kinds. They are those of WHY_CODES_OF in
-- smsretry/vocabulary.py, from which `python -m tests.record_schema` writes them here.
create or replace function smsretry.why_codes_of(variadic kinds text[])
returns text[]
language sql immutable set search_path = pg_catalog, pg_temp as $$
    select array_agg(r.why_code)
    from (
        values
            ('place', 'quiet_hours'),
            ('place', 'daily_cap'),
            ('place', 'number_spelling'),
            ('place', 'no_time_zone'),
            ('place', 'no_opening'),
            ('place', 'hours_unreadable'),
            ('sender', 'sender_paused'),
            ('sender', 'no_credentials'),
            ('sender', 'account_refused'),
            ('sender', 'sending_stopped'),
            ('sender_limit', 'sender_rate'),
            ('sender_limit', 'day_spent'),
            ('passing', 'business_trouble'),
            ('passing', 'unreachable'),
            ('passing', 'locked'),
            ('passing', 'database_trouble'),
            ('passing', 'data_changed')
    ) r (kind, why_code)
    where r.kind = any (why_codes_of.kinds)
$$;

-- ======== schemas/policy/work.sql ========
-- Name the kind of work that a row is. The comment on sms_retry_queue.work says what each means.
create or replace function smsretry.work(
    status text,
    recover_count integer,
    in_doubt_since timestamptz
)
returns text
language plpgsql immutable set search_path = pg_catalog, pg_temp as $$
begin
    return case
        when status = 'processing' then 'under_way'
        when status <> 'pending' then null
        when recover_count >= 2 then 'suspect' -- recover_stuck_sms_retries
        when in_doubt_since is not null then 'doubtful'
        else 'texts'
    end;
end
$$;

-- ======== schemas/tables/businesses.sql ========
-- The application's table. It is made only where there is none, and its policy with it: an existing
-- one keeps its own.
do $$
begin
    if to_regclass('public.businesses') is null then
        create table public.businesses (
            id uuid primary key default gen_random_uuid(),
            user_id uuid not null,
            name text not null,
            timezone text
        );
        alter table public.businesses enable row level security;
        create policy "Owners read their businesses" on public.businesses
            for select to authenticated using (user_id = (select auth.uid()));
        grant select on public.businesses to authenticated;
    end if;
end
$$;

-- Our columns, whoever made the table. Hours are text, so that a person can write and read them in
-- a table editor.
alter table public.businesses add column if not exists sms_hours text;
comment on column public.businesses.sms_hours is 'The business''s own hours for texts, on the customer''s clock: 09:00-18:00, or Mon-Fri 09:00-18:00, Sat 10:00-16:00. They narrow what the law allows. Null: it has none of its own.';
alter table public.businesses add column if not exists sms_daily_cap integer;
comment on column public.businesses.sms_daily_cap is 'The most texts of this business that one number gets in 24 hours; marketing texts above it wait. It narrows what the law allows. Null: it has none of its own.';

-- Unreadable hours would hold every text of the business. The grammar is that of
-- smsretry.quiet_hours.hours.parse_week, which also notices hours that close before they open.
do $$
declare
    day constant text := '(Mon|Tue|Wed|Thu|Fri|Sat|Sun)';
    clock constant text := '([01][0-9]|2[0-3]):[0-5][0-9]';
    entry constant text := '((' || day || '(-' || day || ')? )?'
        || clock || '-(' || clock || '|24:00))';
begin
    alter table public.businesses drop constraint if exists businesses_sms_daily_cap;
    alter table public.businesses
        add constraint businesses_sms_daily_cap check (sms_daily_cap > 0);
    alter table public.businesses drop constraint if exists businesses_sms_hours;
    execute format(
        'alter table public.businesses add constraint businesses_sms_hours check (sms_hours ~ %L)',
        '^' || entry || '(, *' || entry || ')*$'
    );
end
$$;

grant select on public.businesses to service_role;

-- ======== what an existing smsretry.consents lacks ========
alter table if exists smsretry.consents
    add column if not exists id bigint generated always as identity primary key,
    add column if not exists subject_key bytea not null,
    add column if not exists business_id uuid,
    add column if not exists customer_id uuid,
    add column if not exists number_key bytea,
    add column if not exists said text not null,
    add column if not exists source text,
    add column if not exists at timestamptz not null,
    add column if not exists dated timestamptz,
    add column if not exists senders text[],
    add column if not exists twilio_sid text,
    add column if not exists written_to text,
    add column if not exists phone text,
    add column if not exists was text,
    add column if not exists mark_at timestamptz;
select pg_temp.add_rule('smsretry.consents', 'consents_pkey', $r$primary key (id)$r$);
select pg_temp.add_rule('smsretry.consents', 'consents_said', $r$check ( said in ('opted_out', 'opted_in', 'unsure', 'unchanged', 'seen') )$r$);
select pg_temp.add_rule('smsretry.consents', 'consents_dated', $r$check ( said not in ('opted_out', 'unsure') or dated is not null )$r$);
select pg_temp.add_rule('smsretry.consents', 'consents_phone', $r$check (phone is null or said = 'unsure')$r$);
select pg_temp.add_rule('smsretry.consents', 'consents_source', $r$check (length(source) <= 200)$r$);

-- ======== schemas/tables/consents.sql ========
-- What was said about texts, and of whom: the number at a business, and each customer who had it
-- then, have a row each. So a word holds for whoever has the number later, and for a customer whose
-- number changes. prune_sms_history deletes what decides nothing any more. What holds is a view,
-- smsretry.standing_words. No foreign key: a word waits for nobody's lock.
--   said:
--     opted_out, opted_in: what the word means
--     unsure: it may mean stop, and nobody has read it yet
--     unchanged: a person has read such words, and they mean neither
--     seen: it lifts nothing: the date of an opt-in, whichever row bears it later, or a text
create table if not exists smsretry.consents (
    id bigint generated always as identity primary key,
    subject_key bytea not null, -- smsretry.number_key of the number, or of the customer's id
    business_id uuid, -- null: at each that gets a customer with the number later
    customer_id uuid, -- whom it names; null: the number
    number_key bytea, -- of the number by which it was said, at no business
    said text not null,
    source text, -- who received it, as customers.sms_consent_source has it
    at timestamptz not null, -- when it was kept, by the one clock
    -- the moment that it bears; null: it was said to us, and follows whatever was kept before it
    dated timestamptz,
    senders text[], -- that received it (smsretry.receivers_of); null: every sender
    -- The text that said it. Its row without a business makes a repeated webhook known.
    twilio_sid text,
    written_to text, -- in that row: the service or number of ours, as people see it
    phone text, -- in that row: who wrote what nobody has read
    was text, -- the consent of the customer that the word ended
    -- when a run tries to make the customer's row say it; null: it does (smsretry.write_consent)
    mark_at timestamptz,
    constraint consents_said check (
        said in ('opted_out', 'opted_in', 'unsure', 'unchanged', 'seen')
    ),
    -- An opt-out's date is compared with those of later opt-ins.
    constraint consents_dated check (
        said not in ('opted_out', 'unsure') or dated is not null
    ),
    -- The number of anybody else is kept nowhere.
    constraint consents_phone check (phone is null or said = 'unsure'),
    constraint consents_source check (length(source) <= 200)
);

-- These keep the look for an answer cheap beside any number of STOPs, and of customers with one
-- number. id + 0: with statistics of a table that was emptied since, PostgreSQL would walk all
-- later words by the primary key.
create index if not exists consents_against on smsretry.consents (subject_key, id) where said in ('opted_out', 'unsure');
create index if not exists consents_answers on smsretry.consents (subject_key, (id + 0)) where said in ('opted_in', 'unchanged', 'seen');
create unique index if not exists consents_texts on smsretry.consents (twilio_sid, subject_key) where twilio_sid is not null;
create index if not exists consents_unread on smsretry.consents using hash (phone) where phone is not null;
create index if not exists consents_unsure on smsretry.consents (customer_id) where said = 'unsure';
create index if not exists consents_unmarked on smsretry.consents (mark_at) where mark_at is not null;

-- A word before it is kept (smsretry.keep_words), and what the application did to a customer's row
-- (smsretry.keep_changes).
do $$
begin
    if to_regtype('smsretry.word') is null then
        create type smsretry.word as (
            business_id uuid,
            phone text, -- null: it is said of the customer alone
            customer_id uuid,
            said text,
            source text,
            dated timestamptz,
            senders text[],
            twilio_sid text,
            repeats bigint -- the id of the word that it carries on
        );
        create type smsretry.customer_change as (
            id uuid,
            business_id uuid,
            phone text,
            consent text, -- smsretry.consent
            source text,
            dated timestamptz,
            is_new boolean, -- what was is null then, so all has changed
            was_business_id uuid,
            was_phone text,
            was_consent text,
            was_source text,
            was_dated timestamptz,
            -- as keep_changes finds
            is_moved boolean, -- to another number or business
            is_said boolean, -- its consent is news
            said_at timestamptz
        );
    end if;
end
$$;

-- ======== schemas/tables/customers.sql ========
-- The application's table. It is made only where there is none, and its policy with it: an existing
-- one keeps its own.
do $$
begin
    if to_regclass('public.customers') is null then
        create table public.customers (
            id uuid primary key default gen_random_uuid(),
            business_id uuid not null references public.businesses (id) on delete cascade,
            phone text,
            phone_status text,
            timezone text,
            sms_consent_status text not null default 'unknown'
                check (sms_consent_status in ('opted_in', 'opted_out', 'unknown')),
            sms_consent_at timestamptz,
            sms_consent_source text
        );
        create index customers_business_id on public.customers (business_id);
        alter table public.customers enable row level security;
        create policy "Owners read their customers" on public.customers for select to authenticated
            using (business_id in (select b.id from public.businesses b where b.user_id = (select auth.uid())));
        grant select on public.customers to authenticated;
    end if;
end
$$;

-- For the daily cap and for an opt-out, which belong to a number: several customers may share one.
-- A hash, because an ordinary index would refuse the application's rows whose phone is longer than
-- a page of it.
create index if not exists customers_phone on public.customers using hash (phone);

grant select, update on public.customers to service_role; -- update: consent and phone_status

-- ======== what an existing smsretry.events lacks ========
alter table if exists smsretry.events
    add column if not exists id bigint generated always as identity primary key,
    add column if not exists at timestamptz not null,
    add column if not exists about uuid,
    add column if not exists code text not null,
    add column if not exists who text,
    add column if not exists detail jsonb not null default '{}';
select pg_temp.add_rule('smsretry.events', 'events_pkey', $r$primary key (id)$r$);
select pg_temp.add_rule('smsretry.events', 'events_lengths', $r$check ( length(code) between 1 and 40 and length(who) between 1 and 200 )$r$);

-- ======== schemas/tables/events.sql ========
-- The story of a text beyond its sends, of a customer, a sender and a business: its waits and their
-- ends, and what a person did, who and why. A text that goes out at the first try has none.
create table if not exists smsretry.events (
    id bigint generated always as identity primary key,
    at timestamptz not null,
    -- the row of the queue, the customer, sender or business; no foreign key: a deleted customer's
    -- texts keep their story. Null: a person's order that is about none of these
    about uuid,
    -- smsretry.keep_event and keep_consent write those about rows; the others are people's deeds
    code text not null,
    -- smsretry, the application, or the name that a person gave; null: a row was written, by
    -- whomever
    who text,
    detail jsonb not null default '{}',
    constraint events_lengths check (
        length(code) between 1 and 40
        and length(who) between 1 and 200
    )
);
comment on column smsretry.events.detail is 'because: in words; why_code; until: when the text is due; since: when its worker had it; times, last_at: how often it happened in a row, and when last; was, became, source: of a customer''s consent or number, of which only the last digits are kept; account, sender, business_id, message_class: of a sender; number, kind, subject, recorded: of an order about nothing else, the number by its last digits';
create index if not exists events_about on smsretry.events (about, id);

-- ======== what an existing smsretry.mark lacks ========
alter table if exists smsretry.mark
    add column if not exists one boolean primary key default true,
    add column if not exists kind text not null,
    add column if not exists address text,
    add column if not exists marked_at timestamptz not null,
    add column if not exists who text not null,
    add column if not exists because text not null;
select pg_temp.add_rule('smsretry.mark', 'mark_pkey', $r$primary key (one)$r$);
select pg_temp.add_rule('smsretry.mark', 'mark_one', $r$check (one)$r$);
select pg_temp.add_rule('smsretry.mark', 'mark_kind', $r$check (kind in ('production', 'staging'))$r$);
select pg_temp.add_rule('smsretry.mark', 'mark_address', $r$check ( (kind = 'production') = (address is not null) and length(address) between 1 and 300 )$r$);
select pg_temp.add_rule('smsretry.mark', 'mark_lengths', $r$check ( length(who) between 1 and 200 and length(because) between 1 and 500 )$r$);

-- ======== schemas/tables/mark.sql ========
-- A person's word on what this database is: at most one row. Production names the only address at
-- which workers may text everybody, so that a copy of it texts nobody, however it was copied.
-- smsretry.mark_mismatch has the rule.
create table if not exists smsretry.mark (
    one boolean primary key default true,
    kind text not null,
    -- host, port if it is not the usual one, and path, of the SUPABASE_URL that production's
    -- workers have
    address text,
    marked_at timestamptz not null,
    who text not null,
    because text not null,
    constraint mark_one check (one),
    constraint mark_kind check (kind in ('production', 'staging')),
    -- A production without an address would be one everywhere, its copies included.
    constraint mark_address check (
        (kind = 'production') = (address is not null)
        and length(address) between 1 and 300
    ),
    constraint mark_lengths check (
        length(who) between 1 and 200
        and length(because) between 1 and 500
    )
);

-- ======== what an existing smsretry.restores lacks ========
alter table if exists smsretry.restores
    add column if not exists since timestamptz primary key,
    add column if not exists restored_at timestamptz not null,
    add column if not exists who text not null,
    add column if not exists because text not null,
    add column if not exists run_id uuid unique;
select pg_temp.add_rule('smsretry.restores', 'restores_pkey', $r$primary key (since)$r$);
select pg_temp.add_rule('smsretry.restores', 'restores_order', $r$check (since <= restored_at)$r$);
select pg_temp.add_rule('smsretry.restores', 'restores_lengths', $r$check ( length(who) between 1 and 200 and length(because) between 1 and 500 )$r$);

-- ======== schemas/tables/restores.sql ========
-- Restores from a backup, written by record_restore. An older text may have gone out after `since`,
-- so it is looked for at Twilio before its next message leaves (smsretry.doubt_forgotten).
create table if not exists smsretry.restores (
    since timestamptz primary key, -- when the backup was taken
    -- when that was noticed: what was begun from then on is on record
    restored_at timestamptz not null,
    who text not null,
    because text not null,
    run_id uuid unique, -- the run that the database had forgotten; null: a person said so
    constraint restores_order check (since <= restored_at),
    constraint restores_lengths check (
        length(who) between 1 and 200
        and length(because) between 1 and 500
    )
);

-- ======== what an existing smsretry.runs lacks ========
alter table if exists smsretry.runs
    add column if not exists id uuid primary key,
    add column if not exists started_at timestamptz not null,
    add column if not exists finished_at timestamptz,
    add column if not exists summary text,
    add column if not exists needs_attention boolean,
    add column if not exists interrupted_at timestamptz,
    add column if not exists send_to text,
    add column if not exists address text;
select pg_temp.add_rule('smsretry.runs', 'runs_pkey', $r$primary key (id)$r$);
select pg_temp.add_rule('smsretry.runs', 'runs_summary', $r$check ( length(summary) <= 2000 and (finished_at is null) = (summary is null) )$r$);
select pg_temp.add_rule('smsretry.runs', 'runs_send_to', $r$check (send_to in ('all', 'listed', 'nobody'))$r$);
select pg_temp.add_rule('smsretry.runs', 'runs_address', $r$check (length(address) <= 300)$r$);

-- ======== schemas/tables/runs.sql ========
-- One row a run of a worker: when it began, and what it came to. A run that was killed cannot say
-- so; the next one does, from the attempts that name it.
create table if not exists smsretry.runs (
    id uuid primary key, -- in Prefect: the flow run of this id
    started_at timestamptz not null,
    finished_at timestamptz,
    summary text, -- its result, in numbers
    needs_attention boolean,
    interrupted_at timestamptz, -- when a later run noticed that it had never finished
    send_to text, -- whom its worker texts; null: all
    address text, -- at which it reached the database
    constraint runs_summary check (
        length(summary) <= 2000
        and (finished_at is null) = (summary is null)
    ),
    constraint runs_send_to check (send_to in ('all', 'listed', 'nobody')),
    constraint runs_address check (length(address) <= 300)
);

create index if not exists runs_started on smsretry.runs (started_at);
create index if not exists runs_unfinished on smsretry.runs (started_at) where finished_at is null and interrupted_at is null;

-- ======== what an existing public.scheduled_sends lacks ========
alter table if exists public.scheduled_sends
    add column if not exists id uuid primary key default gen_random_uuid(),
    add column if not exists business_id uuid not null references public.businesses (id) on delete cascade,
    add column if not exists customer_id uuid,
    add column if not exists body text,
    add column if not exists scheduled_for timestamptz not null,
    add column if not exists not_after timestamptz,
    add column if not exists message_class text not null default 'marketing',
    add column if not exists status text not null default 'scheduled' check ( status in ('scheduled', 'queued', 'cancelled', 'failed') ),
    add column if not exists send_log_id uuid,
    add column if not exists created_by uuid,
    add column if not exists why text,
    add column if not exists why_code smsretry.why_code,
    add column if not exists held_since timestamptz,
    add column if not exists look_at timestamptz,
    add column if not exists created_at timestamptz not null default now(),
    add column if not exists updated_at timestamptz not null default now();
select pg_temp.add_rule('public.scheduled_sends', 'scheduled_sends_message_class', $r$check ( message_class in ('marketing', 'transactional') )$r$);
select pg_temp.add_rule('public.scheduled_sends', 'scheduled_sends_instants', $r$check ( status not in ('scheduled', 'queued') or scheduled_for between '2000-01-01 00:00+00' and '2100-01-01 00:00+00' and not_after between '2000-01-01 00:00+00' and '2100-01-01 00:00+00' )$r$);
select pg_temp.add_rule('public.scheduled_sends', 'scheduled_sends_use', $r$check ( status <> 'scheduled' or not_after > scheduled_for )$r$);
select pg_temp.add_rule('public.scheduled_sends', 'scheduled_sends_lengths', $r$check ( (status <> 'scheduled' or length(body) <= 1600) and length(why) <= 2000 )$r$);
select pg_temp.add_rule('public.scheduled_sends', 'scheduled_sends_queued', $r$check ( status <> 'queued' or send_log_id is not null )$r$);
select pg_temp.add_rule('public.scheduled_sends', 'scheduled_sends_held', $r$check ( held_since is null or status = 'scheduled' and why is not null )$r$);

-- ======== schemas/tables/scheduled_sends.sql ========
-- Texts that are planned for a time. The application's table: its policies and grants are made only
-- where there is none. Shortly before its time a row becomes a send log, with the row's own id, and
-- a row of the queue (queue_scheduled_sms).
select set_config(
    'smsretry.had_scheduled_sends',
    (to_regclass('public.scheduled_sends') is not null)::text,
    false
);
create table if not exists public.scheduled_sends (
    id uuid primary key default gen_random_uuid(),
    business_id uuid not null references public.businesses (id) on delete cascade,
    customer_id uuid, -- no foreign key: a row whose customer is gone ends with a reason
    body text,
    scheduled_for timestamptz not null,
    -- when it is of no more use; null: it is of use as long as any text, from scheduled_for on
    not_after timestamptz,
    message_class text not null default 'marketing',
    --   scheduled: it waits for its time
    --   queued: its text exists, and its send log says what becomes of it
    --   cancelled, failed: it never became a text, or was cancelled in time
    status text not null default 'scheduled' check (
        status in ('scheduled', 'queued', 'cancelled', 'failed')
    ),
    send_log_id uuid, -- of its text, once there is one: the row's own id
    created_by uuid,
    why text, -- why it was cancelled, has failed or is held
    why_code smsretry.why_code,
    -- since when it waits for something that a person can mend; it goes on by itself then
    held_since timestamptz,
    look_at timestamptz, -- when it is looked at next, if not at its time
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),

    -- For our states; an application may have others.
    constraint scheduled_sends_message_class check (
        message_class in ('marketing', 'transactional')
    ),
    -- Infinity, years BC and the like could not be queued.
    constraint scheduled_sends_instants check (
        status not in ('scheduled', 'queued')
        or scheduled_for between '2000-01-01 00:00+00' and '2100-01-01 00:00+00'
            and not_after between '2000-01-01 00:00+00' and '2100-01-01 00:00+00'
    ),
    -- Otherwise it could only be cancelled.
    constraint scheduled_sends_use check (
        status <> 'scheduled' or not_after > scheduled_for
    ),
    -- The numbers: smsretry.longest_body, longest_reason.
    constraint scheduled_sends_lengths check (
        (status <> 'scheduled' or length(body) <= 1600)
        and length(why) <= 2000
    ),
    constraint scheduled_sends_queued check (
        status <> 'queued' or send_log_id is not null
    ),
    constraint scheduled_sends_held check (
        held_since is null
        or status = 'scheduled' and why is not null
    )
);

do $$
begin
    if current_setting('smsretry.had_scheduled_sends')::boolean then
        return;
    end if;
    create index scheduled_sends_business on public.scheduled_sends (business_id, scheduled_for);
    alter table public.scheduled_sends enable row level security;
    create policy "Owners read their scheduled sends" on public.scheduled_sends for select to authenticated
        using (business_id in (select b.id from public.businesses b where b.user_id = (select auth.uid())));
    create policy "Owners schedule texts to their customers" on public.scheduled_sends for insert to authenticated
        with check (
            status = 'scheduled'
            and business_id in (select b.id from public.businesses b where b.user_id = (select auth.uid()))
            and exists (select from public.customers c where c.id = customer_id
                        and c.business_id = scheduled_sends.business_id));
    create policy "Owners move and cancel their scheduled sends" on public.scheduled_sends for update to authenticated
        using (status in ('scheduled', 'queued')
               and business_id in (select b.id from public.businesses b where b.user_id = (select auth.uid())))
        with check (status in ('scheduled', 'queued', 'cancelled')
                    and business_id in (select b.id from public.businesses b where b.user_id = (select auth.uid())));
    -- A Supabase project grants everything in public to anon and authenticated. The message class
    -- is not a tenant's to choose: a transactional text keeps fewer rules.
    revoke all on public.scheduled_sends from public, anon, authenticated;
    grant select on public.scheduled_sends to authenticated;
    grant insert (id, business_id, customer_id, body, scheduled_for, not_after, created_by)
        on public.scheduled_sends to authenticated;
    grant update (body, scheduled_for, not_after, status) on public.scheduled_sends to authenticated;
    -- Deleting the row would not end its text: it is cancelled.
    revoke delete, truncate on public.scheduled_sends from service_role;
end
$$;

create index if not exists scheduled_sends_due
    on public.scheduled_sends ((coalesce(look_at, scheduled_for)), id) where status = 'scheduled';
-- For the desk.
create index if not exists scheduled_sends_customer
    on public.scheduled_sends (customer_id) where send_log_id is null;

grant select, insert, update on public.scheduled_sends to service_role;

-- ======== what an existing smsretry.secret lacks ========
alter table if exists smsretry.secret
    add column if not exists only_one boolean primary key default true check (only_one),
    add column if not exists key bytea not null default decode( replace(gen_random_uuid()::text || gen_random_uuid()::text, '-', ''), 'hex' );
select pg_temp.add_rule('smsretry.secret', 'secret_pkey', $r$primary key (only_one)$r$);

-- ======== schemas/tables/secret.sql ========
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

-- ======== schemas/tables/send_logs.sql ========
-- The application's table. It is made only where there is none, and its policy with it: an existing
-- one keeps its own.
do $$
begin
    if to_regclass('public.send_logs') is null then
        create table public.send_logs (
            id uuid primary key default gen_random_uuid(),
            business_id uuid not null references public.businesses (id) on delete cascade,
            customer_id uuid,
            channel text not null default 'sms' check (channel in ('email', 'sms')),
            subject text,
            status text not null default 'pending',
            error_message text,
            provider_message_id jsonb,
            created_at timestamptz not null default now(),
            updated_at timestamptz not null default now()
        );
        create index send_logs_business_id on public.send_logs (business_id);
        alter table public.send_logs enable row level security;
        create policy "Owners read their send logs" on public.send_logs for select to authenticated
            using (business_id in (select b.id from public.businesses b where b.user_id = (select auth.uid())));
        grant select on public.send_logs to authenticated;
    end if;
end
$$;

-- The daily cap counts the texts that the application sent to a customer itself.
create index if not exists send_logs_customer_changed
    on public.send_logs (customer_id, (coalesce(updated_at, created_at)));

-- insert: of a scheduled send; update: what became of the text
grant select, insert, update on public.send_logs to service_role;

-- ======== what an existing smsretry.senders lacks ========
alter table if exists smsretry.senders
    add column if not exists id uuid primary key default gen_random_uuid(),
    add column if not exists account text not null,
    add column if not exists sent_by text not null,
    add column if not exists named_at timestamptz,
    add column if not exists segments_per_second double precision,
    add column if not exists segments_per_day integer,
    add column if not exists paused_at timestamptz,
    add column if not exists why_paused text,
    add column if not exists free_at timestamptz,
    add column if not exists day_ends_at timestamptz,
    add column if not exists day_segments bigint not null default 0,
    add column if not exists created_at timestamptz not null default now();
select pg_temp.add_rule('smsretry.senders', 'senders_pkey', $r$primary key (id)$r$);
select pg_temp.add_rule('smsretry.senders', 'senders_one', $r$unique (account, sent_by)$r$);
select pg_temp.add_rule('smsretry.senders', 'senders_ids', $r$check ( account ~ '^[A-Za-z0-9]{8,64}$' and sent_by ~ '^([+][1-9][0-9]{6,14}|[A-Za-z0-9]{8,64})$' and account <> sent_by )$r$);
select pg_temp.add_rule('smsretry.senders', 'senders_rate', $r$check (segments_per_second between 0.01 and 1000)$r$);
select pg_temp.add_rule('smsretry.senders', 'senders_cap', $r$check (segments_per_day > 0)$r$);
select pg_temp.add_rule('smsretry.senders', 'senders_paused', $r$check ( (paused_at is null) = (why_paused is null) and length(why_paused) between 1 and 500 )$r$);
alter table if exists smsretry.business_senders
    add column if not exists business_id uuid not null references public.businesses (id) on delete cascade,
    add column if not exists message_class text not null default 'any',
    add column if not exists sender_id uuid not null references smsretry.senders (id);
select pg_temp.add_rule('smsretry.business_senders', 'business_senders_business_id_fkey', $r$foreign key (business_id) references public.businesses (id) on delete cascade$r$);
select pg_temp.add_rule('smsretry.business_senders', 'business_senders_sender_id_fkey', $r$foreign key (sender_id) references smsretry.senders (id)$r$);
select pg_temp.add_rule('smsretry.business_senders', 'business_senders_pkey', $r$primary key (business_id, message_class)$r$);
select pg_temp.add_rule('smsretry.business_senders', 'business_senders_class', $r$check ( message_class in ('any', 'marketing', 'transactional') )$r$);

-- ======== schemas/tables/senders.sql ========
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

-- ======== what an existing public.sms_retry_queue lacks ========
alter table if exists public.sms_retry_queue
    add column if not exists id uuid primary key default gen_random_uuid(),
    add column if not exists business_id uuid not null references public.businesses (id) on delete cascade,
    add column if not exists send_log_id uuid not null,
    add column if not exists customer_id uuid not null,
    add column if not exists status text not null default 'pending',
    add column if not exists attempt_count integer not null default 0,
    add column if not exists max_attempts integer not null default 3,
    add column if not exists scheduled_for timestamptz not null,
    add column if not exists last_attempted_at timestamptz,
    add column if not exists last_error text,
    add column if not exists reason text,
    add column if not exists created_at timestamptz not null default now(),
    add column if not exists updated_at timestamptz not null default now(),
    add column if not exists claim_no bigint not null default 0,
    add column if not exists claimed_at timestamptz,
    add column if not exists begun_at timestamptz,
    add column if not exists attempt_id uuid,
    add column if not exists in_doubt_since timestamptz,
    add column if not exists reconcile_count integer not null default 0,
    add column if not exists reconciled_claim_no bigint,
    add column if not exists recover_count integer not null default 0,
    add column if not exists error_code integer,
    add column if not exists message_class text not null default 'marketing',
    add column if not exists why text,
    add column if not exists held_since timestamptz,
    add column if not exists claimed_by_application boolean not null default false,
    add column if not exists expires_at timestamptz,
    add column if not exists why_code smsretry.why_code,
    add column if not exists first_due_at timestamptz,
    add column if not exists work text generated always as ( smsretry.work(status, recover_count, in_doubt_since) ) stored;
select pg_temp.add_rule('public.sms_retry_queue', 'sms_retry_queue_status', $r$check ( status in ('pending', 'processing', 'completed', 'failed', 'cancelled') )$r$);
select pg_temp.add_rule('public.sms_retry_queue', 'sms_retry_queue_message_class', $r$check ( message_class in ('marketing', 'transactional') )$r$);
select pg_temp.add_rule('public.sms_retry_queue', 'sms_retry_queue_reason', $r$check ( reason in ('quiet_hours', 'twilio_error', 'rate_limit') )$r$);
select pg_temp.add_rule('public.sms_retry_queue', 'sms_retry_queue_attempts', $r$check ( attempt_count between 0 and 1000 and max_attempts between 1 and 1000 )$r$);
select pg_temp.add_rule('public.sms_retry_queue', 'sms_retry_queue_instants', $r$check ( least( scheduled_for, expires_at, last_attempted_at, created_at, updated_at ) >= '2000-01-01 00:00+00' and greatest( scheduled_for, expires_at, last_attempted_at, created_at, updated_at ) <= '2100-01-01 00:00+00' )$r$);

-- ======== schemas/tables/sms_retry_queue.sql ========
-- One row a text that is owed to one person. The columns down to updated_at, and their meanings,
-- are the application's.
create table if not exists public.sms_retry_queue (
    id uuid primary key default gen_random_uuid(),
    -- No foreign keys to send_logs and customers: deleting one of those must neither fail nor erase
    -- the row, which ends with a reason.
    business_id uuid not null references public.businesses (id) on delete cascade,
    send_log_id uuid not null,
    customer_id uuid not null,
    status text not null default 'pending',
    -- Sends made from the queue. A deferral, the recovery of a claim that was not begun and a
    -- request that was never sent do not count.
    attempt_count integer not null default 0,
    max_attempts integer not null default 3,
    scheduled_for timestamptz not null,
    last_attempted_at timestamptz,
    last_error text,
    reason text,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),

    -- the fence: it only rises, with every claim; every write of a worker names the one it holds
    claim_no bigint not null default 0,
    claimed_at timestamptz, -- start of the lease of the present claim
    begun_at timestamptz, -- of the send that is under way
    attempt_id uuid, -- under way or in doubt
    -- since when it is unknown whether attempt_id went out; the text is never simply sent again
    in_doubt_since timestamptz,
    -- looks for evidence of attempt_id that found nothing
    reconcile_count integer not null default 0,
    -- the last claim whose look was recorded, so that recording it twice is harmless
    reconciled_claim_no bigint,
    -- workers that died while they held it, before its send began or while they looked for evidence
    recover_count integer not null default 0,
    error_code integer, -- Twilio's code for last_error, when it came from Twilio
    -- marketing: every quiet-hours rule binds; transactional: 08:00-21:00 where the customer is
    message_class text not null default 'marketing',
    -- why it waits for scheduled_for, in words and with the rule; failures are in last_error
    why text,
    -- since when it waits for something that a person can mend; it goes on by itself then
    held_since timestamptz,
    -- whether its claimer begins no sends, so that the claim counts as a send; as long as that is in
    -- doubt
    claimed_by_application boolean not null default false,
    -- when it is of no more use; null until the first moment it might have gone out, or until the
    -- first look for evidence
    expires_at timestamptz,
    -- why it waits or has ended, in a word for programs; null: nothing was decided
    why_code smsretry.why_code,
    -- when it might have gone out first; null: that was before smsretry was here
    first_due_at timestamptz,
    work text generated always as (
        smsretry.work(status, recover_count, in_doubt_since)
    ) stored, -- a plain column from below on

    constraint sms_retry_queue_status check (
        status in ('pending', 'processing', 'completed', 'failed', 'cancelled')
    ),
    constraint sms_retry_queue_message_class check (
        message_class in ('marketing', 'transactional')
    ),
    constraint sms_retry_queue_reason check (
        reason in ('quiet_hours', 'twilio_error', 'rate_limit')
    ),
    constraint sms_retry_queue_attempts check (
        attempt_count between 0 and 1000
        and max_attempts between 1 and 1000
    ),
    -- No worker could read infinity or years BC, and the other rows of its claim would suffer.
    constraint sms_retry_queue_instants check (
        least(
            scheduled_for,
            expires_at,
            last_attempted_at,
            created_at,
            updated_at
        ) >= '2000-01-01 00:00+00'
        and greatest(
            scheduled_for,
            expires_at,
            last_attempted_at,
            created_at,
            updated_at
        ) <= '2100-01-01 00:00+00'
    )
)
-- Rows are rewritten all day. Room on the page keeps their updates HOT; vacuum and analyze come
-- after a number of changes, not after a share of the table.
with (
    fillfactor = 80,
    autovacuum_vacuum_scale_factor = 0,
    autovacuum_vacuum_threshold = 1000,
    autovacuum_analyze_scale_factor = 0,
    autovacuum_analyze_threshold = 5000
);

-- Rows that were here have their work now. From here on smsretry.guard_row sets it, and
-- keeps the state machine.
alter table public.sms_retry_queue alter column work drop expression if exists;
comment on column public.sms_retry_queue.work is 'Who looks for it when it is due: texts are sent, a doubtful one is looked for, a suspect one may kill its worker and is claimed alone, and one that is under_way is taken back from a worker that fell silent. Null: it has ended.';

-- One live row a text. Its ended rows are found here, too.
create unique index if not exists sms_retry_queue_one_live_row on public.sms_retry_queue (
    send_log_id, (case when status in ('pending', 'processing') then '00000000-0000-0000-0000-000000000000'::uuid else id end));
create index if not exists sms_retry_queue_customer on public.sms_retry_queue (customer_id);
-- Due rows: the claim looks here first, and mostly finds nothing. It reads the included columns.
create index if not exists sms_retry_queue_work
    on public.sms_retry_queue (work, scheduled_for, id)
    include (business_id, message_class, why_code, in_doubt_since, held_since) where work is not null;
-- The claim walks these business by business when more is due than it can take.
create index if not exists sms_retry_queue_turns
    on public.sms_retry_queue (business_id, message_class, scheduled_for, id) where work = 'texts';
-- sms_status counts what waits. Equal keys are stored once, in a twentieth of the pages above.
create index if not exists sms_retry_queue_why
    on public.sms_retry_queue (work, why_code, held_since) where work is not null;
-- For the desk and for pruning. A row enters it once.
create index if not exists sms_retry_queue_ended
    on public.sms_retry_queue (status, updated_at) where status in ('completed', 'failed', 'cancelled');

alter table public.sms_retry_queue enable row level security;

drop policy if exists "Owners read their retries" on public.sms_retry_queue;
create policy "Owners read their retries" on public.sms_retry_queue for select to authenticated
    using (business_id in (select b.id from public.businesses b where b.user_id = (select auth.uid())));

-- Without the last two conditions a tenant could have another tenant's text sent.
drop policy if exists "Owners queue retries of their texts" on public.sms_retry_queue;
create policy "Owners queue retries of their texts" on public.sms_retry_queue for insert to authenticated
    with check (
        status = 'pending'
        and attempt_count between 0 and max_attempts
        and max_attempts between 1 and 10
        and business_id in (
            select b.id from public.businesses b where b.user_id = (select auth.uid())
        )
        and exists (
            select from public.send_logs l
            where l.id = send_log_id
              and l.business_id = sms_retry_queue.business_id
              and l.customer_id = sms_retry_queue.customer_id
        )
        and exists (
            select from public.customers c
            where c.id = customer_id
              and c.business_id = sms_retry_queue.business_id
        )
    );

-- History is kept: a text that is no longer wanted is cancelled, not deleted.
revoke delete, truncate on public.sms_retry_queue from service_role;
grant select, insert, update on public.sms_retry_queue to service_role;
-- An older Supabase project grants everything in public to anon and authenticated.
revoke all on public.sms_retry_queue from public, anon, authenticated;
grant select on public.sms_retry_queue to authenticated;
-- Claim number, lease and the like are not a tenant's to set.
revoke insert on public.sms_retry_queue from authenticated;
grant insert (id, business_id, send_log_id, customer_id, status, attempt_count, max_attempts, scheduled_for,
    last_error, reason)
    on public.sms_retry_queue to authenticated;

-- ======== what an existing public.sms_send_attempts lacks ========
alter table if exists public.sms_send_attempts
    add column if not exists id uuid primary key,
    add column if not exists retry_id uuid not null references public.sms_retry_queue (id) on delete cascade,
    add column if not exists attempt_number integer not null,
    add column if not exists claim_no bigint not null,
    add column if not exists begun_at timestamptz not null,
    add column if not exists finished_at timestamptz,
    add column if not exists outcome smsretry.outcome,
    add column if not exists settled_by smsretry.settled_by,
    add column if not exists error_code integer,
    add column if not exists twilio_sid text,
    add column if not exists consent_status text,
    add column if not exists consent_at timestamptz,
    add column if not exists consent_source text,
    add column if not exists quiet_hours_rule text,
    add column if not exists number_key bytea,
    add column if not exists sent_to text,
    add column if not exists sent_body text,
    add column if not exists sent_by text,
    add column if not exists worker_died boolean not null default false,
    add column if not exists run_id uuid,
    add column if not exists delivery_status smsretry.delivery_status,
    add column if not exists delivery_code integer,
    add column if not exists delivery_at timestamptz,
    add column if not exists delivery_ask_at timestamptz,
    add column if not exists delivery_asks integer not null default 0,
    add column if not exists business_id uuid,
    add column if not exists sent_account text,
    add column if not exists segments integer,
    add column if not exists leaves_at timestamptz,
    add column if not exists refused_for text,
    add column if not exists delivery_excused boolean not null default false;
select pg_temp.add_rule('public.sms_send_attempts', 'sms_send_attempts_pkey', $r$primary key (id)$r$);
select pg_temp.add_rule('public.sms_send_attempts', 'sms_send_attempts_retry_id_fkey', $r$foreign key (retry_id) references public.sms_retry_queue (id) on delete cascade$r$);
select pg_temp.add_rule('public.sms_send_attempts', 'sms_send_attempts_twilio_sid_key', $r$unique (twilio_sid)$r$);
select pg_temp.add_rule('public.sms_send_attempts', 'sms_send_attempts_one_per_claim', $r$unique (retry_id, claim_no)$r$);

-- ======== schemas/tables/sms_send_attempts.sql ========
-- One row a send that was begun: inserted by begin, settled once, deleted only with its row of the
-- queue. The columns delivery_… are what Twilio reported. smsretry.guard_attempt keeps its rules.
create table if not exists public.sms_send_attempts (
    id uuid primary key,
    retry_id uuid not null references public.sms_retry_queue (id) on delete cascade,
    attempt_number integer not null, -- 1, 2, 3 … for retries; 0 for a text's first send by send_sms
    claim_no bigint not null,
    begun_at timestamptz not null,
    finished_at timestamptz,
    outcome smsretry.outcome,
    settled_by smsretry.settled_by,
    error_code integer,
    twilio_sid text,
    consent_status text, -- with its time and source: as it was read when the send began
    consent_at timestamptz,
    consent_source text,
    quiet_hours_rule text,
    -- smsretry.number_key of business and number, by which texts to a person are counted
    number_key bytea,
    -- what was sent: evidence is compared with these three, never with what the rows say now
    sent_to text,
    sent_body text,
    sent_by text,
    worker_died boolean not null default false, -- nobody knows whether the request ever left
    run_id uuid, -- smsretry.runs, and in Prefect the flow run of this id
    delivery_status smsretry.delivery_status, -- what Twilio last reported of the message; null: nothing yet
    delivery_code integer, -- Twilio's, of a message that did not arrive
    delivery_at timestamptz, -- when delivery_status was reported
    -- when to ask Twilio, or to decide about a failure; null: nothing is open
    delivery_ask_at timestamptz,
    -- how often its delivery was looked at: fences what such a look comes to
    delivery_asks integer not null default 0,
    business_id uuid,
    -- where all later questions go. Null, as sent_by: nobody wrote it down (the application's own
    -- processor, a restored backup)
    sent_account text,
    segments integer, -- what it takes of its sender's rate and day
    leaves_at timestamptz, -- its slot of its sender; null: at once
    -- what a person must mend, for which it was refused or which it tries: the code and, where it
    -- is about that, the destination
    refused_for text,
    -- its sender was the reason why it did not arrive: it counts neither as an attempt nor as a
    -- failed delivery
    delivery_excused boolean not null default false,
    -- A Twilio message belongs to one attempt.
    constraint sms_send_attempts_twilio_sid_key unique (twilio_sid),
    -- A claim sends at most once.
    constraint sms_send_attempts_one_per_claim unique (retry_id, claim_no)
) with (autovacuum_analyze_scale_factor = 0, autovacuum_analyze_threshold = 5000);

-- For the daily cap.
create index if not exists sms_send_attempts_number
    on public.sms_send_attempts (number_key, (coalesce(finished_at, begun_at)));
-- Attempts in doubt or under way have sent_to: a look for evidence compares them. The others are
-- here by when their delivery is looked at.
create index if not exists sms_send_attempts_open on public.sms_send_attempts (sent_to, delivery_ask_at)
    where sent_to is not null or delivery_ask_at is not null;
-- The day's sends. A BRIN, because attempts are added in the order of time. It is kept up while
-- they are: before a vacuum, which comes after a share of the table, every look at the day would
-- read all that was added since the last one.
create index if not exists sms_send_attempts_begun on public.sms_send_attempts using brin (begun_at)
    with (pages_per_range = 16, autosummarize = on);
-- Which text tries what a person must mend.
create index if not exists sms_send_attempts_refused on public.sms_send_attempts (sent_account, sent_by, refused_for, begun_at)
    where refused_for is not null;
-- For every look for evidence. A hash, because the value may be of any length.
create index if not exists send_logs_twilio_sid on public.send_logs using hash ((provider_message_id ->> 'twilio_sid'));

alter table public.sms_send_attempts enable row level security;

drop policy if exists "Owners read their attempts" on public.sms_send_attempts;
create policy "Owners read their attempts" on public.sms_send_attempts for select to authenticated
    using (exists (select from public.sms_retry_queue q where q.id = retry_id));

-- Attempts are deleted only with their row, by prune_sms_history or with its business.
revoke delete, truncate on public.sms_send_attempts from service_role;
grant select, insert, update on public.sms_send_attempts to service_role;
-- As sms_retry_queue.
revoke all on public.sms_send_attempts from public, anon, authenticated;
grant select on public.sms_send_attempts to authenticated;

-- ======== what an existing smsretry.stops lacks ========
alter table if exists smsretry.stops
    add column if not exists kind text not null,
    add column if not exists subject text not null default '',
    add column if not exists since timestamptz not null,
    add column if not exists why text not null,
    add column if not exists who text;
select pg_temp.add_rule('smsretry.stops', 'stops_pkey', $r$primary key (kind, subject)$r$);
select pg_temp.add_rule('smsretry.stops', 'stops_kind', $r$check ( kind in ('everybody', 'sender', 'business', 'state', 'business_stopped') )$r$);
select pg_temp.add_rule('smsretry.stops', 'stops_subject', $r$check ( case kind when 'everybody' then subject = '' when 'state' then subject ~ '^[A-Z]{2}$' else subject ~ '^[0-9a-f-]{36}$' end )$r$);
select pg_temp.add_rule('smsretry.stops', 'stops_why', $r$check (length(why) between 1 and 2000)$r$);

-- ======== schemas/tables/stops.sql ========
-- Stops that last until a text goes out again or a person lifts them, so that the next run knows
-- them. While one of the first three lasts, each run tries one text of it.
--   kind:
--     everybody: the provider takes nobody's texts
--     sender: its account's or its own trouble
--     business: its texts come to nothing while others' go out
--     state: by a person; no marketing text goes there. Some US states forbid it during a declared
--       emergency
--     business_stopped: by a person; none of its texts goes out
--   subject: the id of the sender or business, or the state's two letters
--   who: the person
create table if not exists smsretry.stops (
    kind text not null,
    subject text not null default '',
    since timestamptz not null,
    why text not null,
    who text,
    primary key (kind, subject),
    constraint stops_kind check (
        kind in ('everybody', 'sender', 'business', 'state', 'business_stopped')
    ),
    constraint stops_subject check (
        case kind
            when 'everybody' then subject = ''
            when 'state' then subject ~ '^[A-Z]{2}$'
            else subject ~ '^[0-9a-f-]{36}$'
        end
    ),
    constraint stops_why check (length(why) between 1 and 2000)
);

-- ======== what an existing smsretry.turns lacks ========
alter table if exists smsretry.turns
    add column if not exists kind text not null,
    add column if not exists business_id uuid not null,
    add column if not exists served timestamptz not null;
select pg_temp.add_rule('smsretry.turns', 'turns_pkey', $r$primary key (kind, business_id)$r$);
select pg_temp.add_rule('smsretry.turns', 'turns_kind', $r$check ( kind in ('texts', 'doubtful', 'scheduled', 'deliveries', 'cursor') )$r$);

-- ======== schemas/tables/turns.sql ========
-- When each business was served last, by kind of work: who was served longest ago goes first, and
-- whoever was never served before all others. Only a claim that cannot take all that is due writes
-- here.
--   cursor: one row of this kind, the business where the last claim of texts stopped looking
create table if not exists smsretry.turns (
    kind text not null,
    business_id uuid not null,
    served timestamptz not null,
    primary key (kind, business_id),
    constraint turns_kind check (
        kind in ('texts', 'doubtful', 'scheduled', 'deliveries', 'cursor')
    )
) with (fillfactor = 70); -- rows are rewritten all day

-- ======== schemas/helpers/answers.sql ========
-- Say whether a word for texts takes back an earlier one against them: the one rule of consent. An
-- opt-in lifts an opt-out if its date is later, or if it has none because it was said to us. It
-- answers unread words if it was said to us, and so does a person who has read them. A START lifts
-- what a START may, at a sender that received both.
create or replace function smsretry.answers(answer smsretry.consents, word smsretry.consents)
returns boolean
language plpgsql immutable set search_path = pg_catalog, pg_temp as $$
begin
    return (
        answer.dated is null
        or word.said = 'opted_out' and least(answer.dated, answer.at) > word.dated
    )
        and case
            when answer.source in ('inbound_start', 'inbound_yes')
                then smsretry.start_takes_back(word.source, answer.source = 'inbound_yes')
                    and (word.senders && answer.senders) is not false
            else answer.said = 'opted_in' or word.said = 'unsure'
        end;
end
$$;

-- ======== schemas/helpers/any_word.sql ========
-- Write a regular expression for any word of a list.
--   words: parted by blanks. In a word, _ is a blank, and W up to three words; E, at its end, is
--     what ends a sentence: courtesies (C), a point or nothing
create or replace function smsretry.any_word(words text)
returns text
language sql immutable set search_path = pg_catalog, pg_temp as $$
    select '\m(' || replace(
        replace(
            translate(regexp_replace(words, '\s+', '|', 'g'), '_', ' '),
            'W',
            '( \w+){0,3}'
        ),
        'E',
        '( C)*( \.|$)'
    ) || ')\M'
$$;

-- ======== schemas/helpers/claim_senders.sql ========
-- Each sender as a claim gives it to a worker. The worker compares spent_until with the time: with
-- a clock in this view, PostgreSQL would read all senders for each text.
create or replace view smsretry.claim_senders with (security_invoker = true) as
select
    s.id,
    s.account,
    s.sent_by,
    jsonb_build_object(
        'id', s.id,
        'account', s.account,
        'sent_by', s.sent_by,
        'segments_per_second', s.segments_per_second,
        'why_paused', s.why_paused,
        'spent_until', case
            when s.day_segments >= s.segments_per_day then s.day_ends_at
        end
    ) as sender
from smsretry.senders s;

-- ======== schemas/helpers/clock.sql ========
-- Tell the time, by the one clock that decides what is due, stale and expired. The embedded stack
-- alone has another clock, which it can move, and keeps that one.
do $do$
begin
    if to_regclass('smsretry_local.clock') is null or to_regprocedure('smsretry.clock()') is null then
        create or replace function smsretry.clock()
        returns timestamptz language sql volatile set search_path = pg_catalog, pg_temp as $$
            select pg_catalog.clock_timestamp()
        $$;
    end if;
end
$do$;

-- ======== schemas/helpers/delivery_rank.sql ========
-- Rank the provider's reports, which arrive in any order. Null: an unknown status. A delivery
-- outranks a failure, also one of a part: a carrier may deliver a message that it called lost.
create or replace function smsretry.delivery_rank(status text)
returns integer
language sql immutable set search_path = pg_catalog, pg_temp as $$
    select array_position(
        array[
            'accepted',
            'queued',
            'sending',
            'sent',
            'unknown',
            'undelivered',
            'partially_delivered',
            'delivered',
            'read'
        ],
        case
            when status in ('failed', 'canceled') then 'undelivered'
            when status = 'scheduled' then 'accepted'
            else status
        end
    )
$$;

-- ======== schemas/helpers/found_sid.sql ========
-- Return the SID that a send log has; null: none, or an empty one. A value of more than 10 kB is
-- not opened. Not in language sql, like all that is called with a tenant's values: PostgreSQL 18
-- would open them to plan with.
create or replace function smsretry.found_sid(provider_message_id jsonb)
returns text
language plpgsql immutable strict set search_path = pg_catalog, pg_temp as $$
begin
    if pg_column_size(provider_message_id) >= 10000 then
        return null;
    end if;
    return left(
        nullif(btrim(provider_message_id ->> 'twilio_sid'), ''),
        64
    );
end
$$;

-- ======== schemas/helpers/heard_number.sql ========
-- Read a number as the provider's webhook has it. A form that was decoded wrongly has a space for the
-- plus sign, and RCS names its channel.
create or replace function smsretry.heard_number(address text)
returns text
language plpgsql immutable set search_path = pg_catalog, pg_temp as $$
begin
    return regexp_replace(
        address,
        '^ *(?:(?:rcs|sms):)? *[+]?([1-9][0-9]{9,14}) *$',
        '+\1'
    );
end
$$;

-- ======== schemas/helpers/is_lost.sql ========
-- Say whether the provider called a message lost. It may still be delivered.
create or replace function smsretry.is_lost(delivery_status text)
returns boolean
language sql immutable set search_path = pg_catalog, pg_temp as $$
    select coalesce(
        delivery_status in ('undelivered', 'failed', 'canceled'),
        false
    )
$$;

-- Say in a word whether an accepted text arrived: delivered, undelivered, unknown (nothing final was
-- ever reported) or open (nothing final has been reported yet).
create or replace function smsretry.delivery_of(delivery_status text)
returns text
language sql immutable set search_path = pg_catalog, pg_temp as $$
    select case
        when delivery_status in ('partially_delivered', 'delivered', 'read')
            then 'delivered'
        when delivery_status = 'unknown' then 'unknown'
        when smsretry.is_lost(delivery_status) then 'undelivered'
        else 'open'
    end
$$;

-- ======== schemas/helpers/is_message_id.sql ========
-- Say whether this may be a provider's id of a message, and is no phone number.
create or replace function smsretry.is_message_id(id text)
returns boolean
language sql immutable set search_path = pg_catalog, pg_temp as $$
    select coalesce(
        id ~ '^[A-Za-z0-9_.-]{8,64}$'
        and id ~ '[A-Za-z]',
        false
    )
$$;

-- ======== schemas/helpers/is_sent.sql ========
-- Say whether a send log tells that its text was sent: by its SID (smsretry.found_sid), or by a
-- status that follows the provider's acceptance. By columns and not by row, because a tenant may
-- keep anything in the row.
create or replace function smsretry.is_sent(provider_message_id jsonb, status text)
returns boolean
language plpgsql immutable set search_path = pg_catalog, pg_temp as $$
begin
    return coalesce(status in ('sent', 'delivered', 'undelivered'), false)
        or smsretry.found_sid(provider_message_id) is not null;
end
$$;

-- ======== schemas/helpers/known_since.sql ========
-- Since when the database knows a text, by its row, its send log or its scheduled send.
create or replace function smsretry.known_since(
    send_log_id uuid,
    created_at timestamptz
)
returns timestamptz
language sql stable set search_path = pg_catalog, pg_temp as $$
    select least(
        known_since.created_at,
        (select l.created_at from public.send_logs l where l.id = known_since.send_log_id),
        (select s.created_at from public.scheduled_sends s where s.id = known_since.send_log_id)
    )
$$;

-- ======== schemas/helpers/live_state.sql ========
-- Name the state of a text that has not ended, from columns that one index has.
--   in_doubt: a send of it may have gone out
--   under_way: a worker has it
--   held: it waits for something that a person can mend
--   due: its time has come
--   waiting: it waits for its hour or its next try
create or replace function smsretry.live_state(
    work text,
    in_doubt_since timestamptz,
    held_since timestamptz,
    scheduled_for timestamptz,
    at timestamptz
)
returns text
language sql immutable set search_path = pg_catalog, pg_temp as $$
    select case
        when in_doubt_since is not null then 'in_doubt'
        when work = 'under_way' then 'under_way'
        when held_since is not null then 'held'
        when scheduled_for <= at then 'due'
        else 'waiting'
    end
$$;

-- ======== schemas/helpers/mark_mismatch.sql ========
-- Say why a worker and the mark of the database disagree about whom to text, and what to do. Null:
-- they agree, or there is no mark. Only production's own workers, at the address of the mark, text
-- everybody. In plpgsql, which keeps its plan.
--   send_to: whom the worker texts (all, listed, nobody; null: all)
--   address: where the worker reaches the database
create or replace function smsretry.mark_mismatch(send_to text, address text)
returns text
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
    v_mark smsretry.mark;
begin
    select * into v_mark from smsretry.mark;
    if v_mark.kind is null
        or (
            v_mark.kind = 'production'
            and v_mark.address is not distinct from address
        ) = (coalesce(send_to, 'all') = 'all')
    then
        return null;
    end if;
    return 'The database is marked as ' || v_mark.kind
        || coalesce(' at ' || v_mark.address, '')
        || ', and the worker texts '
        || case send_to
            when 'nobody' then 'nobody'
            when 'listed' then 'only who is listed'
            else 'everybody'
        end || ' and reaches it at '
        || coalesce(
            left(address, 300),
            'an address that it does not tell'
        )
        || ': set SMSRETRY_SEND_TO and SUPABASE_URL where it runs, or say with `smsretry mark` what the database is';
end
$$;

-- ======== schemas/helpers/masked.sql ========
-- Mask a number but for its last four digits, by which a person recognizes it. In plpgsql, which is
-- cheaper to call for each claim.
create or replace function smsretry.masked(phone text)
returns text
language plpgsql immutable set search_path = pg_catalog, pg_temp as $$
begin
    return case
        when length(phone) >= 8 then '…' || right(phone, 4)
        when phone is not null then '…'
    end;
end
$$;

-- ======== schemas/helpers/means_stop.sql ========
-- Say whether an incoming text means stop. Consent is revoked "in any reasonable manner" (47 CFR
-- 64.1200(a)(10)).
--   keyword: it holds only words that say stop, and courtesies, in whatever case, accents and
--     punctuation. It opts out
--   unsure: it is one letter from such a word, refuses, complains or concerns somebody else. A
--     person says what it means
--   null: neither, or a phone's reaction, which quotes us
-- The words are those of smsretry/data/stop_words.tsv; says and alone include Twilio's default
-- keywords and those of 47 CFR 64.1200(a)(10)(i). Only the first 1,600 characters count (Twilio's API
-- reference, Body). No locale or collation decides, so that each database hears the same.
create or replace function smsretry.means_stop(body text)
returns text language plpgsql immutable set search_path = pg_catalog, pg_temp as $$
declare
    k_reaction constant text := '^[^a-z]*(loved|liked|disliked|laughed at|emphasi[sz]ed|questioned|reacted [^ ]{1,12} to'
        '|removed an? .{1,30} from|(no )?le (gust|encant)[^ ]+|se ri[^ ]+ de|(n[’''])?a (pas'
        ' )?(aim|ador)[^ ]+|[^a-z]{1,12} to)'
        ' ["“„«].*["”“»][^a-z]*$';
    k_laughs constant text := '[?¿？😀-😝🤣🤪🥰❤♥]';
    k_unseen constant text := -- invisible characters, which part nothing
        '[\u00ad\u034f\u061c\u115f\u180b-\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufe00-\ufe0f\ufeff\U000e0000-\U000e0fff]';
    k_courtesy constant text := smsretry.any_word(smsretry.stop_words('courtesy'));
    k_greeting constant text := smsretry.any_word(smsretry.stop_words('greeting'));
    k_says constant text := smsretry.any_word(smsretry.stop_words('says'));
    k_alone constant text := smsretry.any_word(smsretry.stop_words('alone'));
    k_alone_or_whole constant text := smsretry.any_word(
        smsretry.stop_words('alone') || ' ' || smsretry.stop_words('whole')
    );
    k_object constant text := smsretry.any_word(smsretry.stop_words('object'));
    k_object_or_while constant text := smsretry.any_word(
        smsretry.stop_words('object') || ' ' || smsretry.stop_words('while')
    );
    k_texts constant text := smsretry.any_word(smsretry.stop_words('texts'));
    k_not_this constant text := smsretry.any_word(smsretry.stop_words('not_this'));
    k_phrases constant text := smsretry.any_word(smsretry.stop_words('phrases'));
    k_not constant text := smsretry.any_word(smsretry.stop_words('not'));
    k_begins constant text := smsretry.any_word(smsretry.stop_words('begins'));
    k_near constant text[] := string_to_array(smsretry.stop_words('near'), ' ');
    k_ordinary constant text := smsretry.any_word(smsretry.stop_words('ordinary'));
    v_body text := left(means_stop.body, 1600);
    v_words text;
    v_bare text;
    v_near text;
begin
    if lower(v_body collate "C") ~ k_reaction then
        return null;
    end if;
    -- Full-width, circled and mathematical letters become ordinary ones, and accents come off.
    v_words := regexp_replace(v_body collate "C", k_unseen, '', 'g');
    v_words := regexp_replace(replace(v_words, '🛑', ' stop '), '[🚫⛔🖕]', ' no more . ', 'g');
    v_words := normalize(replace(v_words, '#', ' number '), nfkd);
    v_words := lower(regexp_replace(v_words collate "C", '[\u0300-\u036f\u20d0-\u20ff]', '', 'g') collate "C");
    -- Letters of other scripts that look like Latin ones (Unicode, confusables.txt), and signs in a word.
    v_words := translate(
        v_words,
        'аАαΑᴀвВβΒʙсСϲϹᴄԁԀᴅеЕεΕᴇһҺнНΗʜіІιΙɪıјЈᴊкКκΚᴋӏӀʟмМ'
        'μΜᴍνΝηɴоОοΟσᴏрРρΡᴘԛԚʀѕЅꜱтТτΤᴛυᴜѵᴠԝԜᴡхХχΧуУүҮΥʏζΖᴢ',
        'aaaaabbbbbcccccdddeeeeehhhhhhiiiiiijjjkkkkklllmm'
        'mmmnnnnoooooopppppqqrssstttttuuvvwwwxxxxyyyyyyzzz'
    );
    v_words := translate(v_words, '🅰🅱🅲🅳🅴🅵🅶🅷🅸🅹🅺🅻🅼🅽🅾🅿🆀🆁🆂🆃🆄🆅🆆🆇🆈🆉', 'abcdefghijklmnopqrstuvwxyz');
    v_words := regexp_replace(v_words, '\$(?=[a-z])', 's', 'g');
    v_words := regexp_replace(v_words, '(?<=[a-z])!(?=[a-z])', 'i', 'g');
    if v_words ~ '[a-z]\d|\d[a-z]' then
        select string_agg(case when t.latin = any (k_near) then t.latin else t.word end, '' order by t.n)
        into v_words
        from (
            select m.word[1] as word, translate(m.word[1], '013457', 'oieast') as latin, m.n
            from regexp_matches(v_words, '[a-z0-9]+|[^a-z0-9]+', 'g') with ordinality m (word, n)
        ) t;
    end if;
    -- The next expression takes the cube of a word's length.
    v_words := regexp_replace(v_words, '([a-z]{40})[a-z]+', '\1', 'g');
    v_words := regexp_replace(v_words, '([a-z])\1{2,}', '\1', 'g'); -- "stoppp"
    v_words := regexp_replace(v_words, '\ms[ .-]+t[ .-]+o[ .-]+p\M', 'stop', 'g');
    v_words := regexp_replace(v_words, '(?<=[a-z])0|0(?=[a-z])', 'o', 'g'); -- "st0p"
    v_words := regexp_replace(
        v_words, '\m(do?|did|does|is|was|are|wo|ca|have|has|would|could)no?[^a-z0-9.,!?]?t\M', '\1 not', 'g');
    v_bare := btrim(regexp_replace(v_words, '[^a-z0-9]+', ' ', 'g')) || ' ';
    v_bare := regexp_replace(v_bare, k_courtesy || ' ', '', 'g');
    if v_body !~ k_laughs and (
        v_bare ~ format('^((%s|%s) )+$', k_says, k_alone)
        or v_bare ~ format('^(%s )*%s ((%s|%s) )*$', k_greeting, k_says, k_says, k_object)) then
        return 'keyword';
    end if;
    v_words := regexp_replace(v_words, '[^a-z0-9.,!?;:]+', ' ', 'g');
    v_words := btrim(regexp_replace(v_words, ' *[.,!?;:]+ *', ' . ', 'g'), ' .');
    v_words := regexp_replace(v_words, k_texts, 'T', 'g');
    v_words := regexp_replace(v_words, k_not_this, '-', 'g');
    v_words := regexp_replace(v_words, k_courtesy, 'C', 'g');
    -- One letter is missing, too many or another one, or two have changed places. PostgreSQL keeps
    -- 32 compiled regular expressions, and this function has nearly as many.
    select string_agg(
        l || '[a-z]?' || substr(w, i + 1)
            || '|' || l || substr(w, i, 1) || '[a-z]' || substr(w, i + 1)
            || '|' || l || substr(w, i + 1, 1) || substr(w, i, 1) || substr(w, i + 2),
        '|') into v_near
    from unnest(k_near) w
    cross join generate_series(1, length(w)) i
    cross join left(w, i - 1) l;
    if v_words ~ replace(k_phrases, 'N', k_not)
        or v_words ~ rtrim(k_begins, '\M')
        or v_bare ~ format('^(%s )*%s (%s )*$', k_greeting, k_alone_or_whole, k_object_or_while)
        or v_words || ' . ' || replace(v_bare, ' ', '') ~ ('(^|[.C] )' || smsretry.any_word(
            '(' || v_near || ')(?=_((me|us|this|these|the|my|all)_)*T|_(me|it)\M|(?<!'
            || k_ordinary || ')E)'))
        -- one word that is made of known words alone: "stopplease"
        or v_bare ~ format(
            '^(%1$s|%2$s)*(%1$s)(%1$s|%2$s)* $',
            replace(smsretry.stop_words('stops'), ' ', '|'),
            replace(smsretry.stop_words('joins'), ' ', '|')
        )
        or v_body ~ replace(smsretry.stop_words('elsewhere'), ' ', '|') then
        return 'unsure';
    end if;
    return null;
end
$$;

-- ======== schemas/helpers/number_key.sql ========
-- Hash a number, or the id of a customer, at a business with the key (RFC 2104's nesting). A number
-- that is spelled otherwise is that number, as far as that can be told without a library; what has no
-- digit ('', 'n/a') is nobody's: null. Raises P0002 without a key, because no opt-out would be known
-- or kept.
--   key: that of smsretry.secret, if the caller has read it
create or replace function smsretry.number_key(
    business_id uuid,
    who text,
    key bytea default null
)
returns bytea
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
    v_digits text;
begin
    if who !~ '^[+][0-9]*$' and who !~ '[A-Za-z]' then
        v_digits := regexp_replace(who, '[^0-9]', '', 'g');
        if v_digits ~ '^1?[2-9][0-9]{9}$' then
            who := '+1' || right(v_digits, 10);
        elsif left(ltrim(who), 1) = '+' then
            who := '+' || v_digits;
        end if;
    end if;
    if key is null then
        select s.key into key from smsretry.secret s;
    end if;
    if key is null then
        raise exception 'smsretry.secret is empty: without its key no opt-out is known, and none can be kept'
            using errcode = 'P0002',
                  hint = 'Restore its row from a backup. `smsretry migrate --again` makes another key, and forgets who opted out.';
    end if;
    return sha256(
        key
            || sha256(
                key
                    || convert_to(
                        coalesce(business_id::text, '') || ' '
                            || substring(who from '(?s)^.*\d.*$'),
                        'UTF8'
                    )
            )
    );
end
$$;

-- ======== schemas/helpers/numberless.sql ========
-- Take phone numbers out of a person's words, which logs and Prefect show. A number has a plus sign
-- or nine digits in a row, or is written as in the US.
create or replace function smsretry.numberless(words text)
returns text
language sql immutable set search_path = pg_catalog, pg_temp as $$
    select regexp_replace(
        words,
        '\+[0-9][0-9 ().-]{6,}[0-9]|(?<![[:alnum:]-])[0-9]{9,}(?![[:alnum:]])|\(?[0-9]{3}[) .-]{1,2}[0-9]{3}[ .-][0-9]{4}',
        '…',
        'g'
    )
$$;

-- ======== schemas/helpers/on_calendar.sql ========
-- Return a time that the application wrote; null: one that we do not accept (infinity, years BC).
-- Constraints of tables repeat the two dates.
create or replace function smsretry.on_calendar(at timestamptz)
returns timestamptz
language sql immutable set search_path = pg_catalog, pg_temp as $$
    select case
        when at between '2000-01-01 00:00+00' and '2100-01-01 00:00+00'
            then at
    end
$$;

-- ======== schemas/helpers/own_senders.sql ========
-- The sender that a business has of its own for each class of texts. One of the class outranks one
-- for any. Ask for one business and class, in a subquery that ends in `offset 0`.
create or replace view smsretry.own_senders with (security_invoker = true) as
select distinct on (b.business_id, c.message_class)
    b.business_id,
    c.message_class,
    b.sender_id
from smsretry.business_senders b
cross join (values ('marketing'), ('transactional')) c (message_class)
where b.message_class in (c.message_class, 'any')
order by b.business_id, c.message_class, b.message_class = 'any';

-- ======== schemas/helpers/planned_state.sql ========
-- Name the state of a scheduled send that is no text yet: scheduled, held, failed or cancelled.
create or replace function smsretry.planned_state(planned public.scheduled_sends)
returns text
language sql immutable set search_path = pg_catalog, pg_temp as $$
    select case
        when planned.status = 'scheduled'
          and planned.held_since is not null
            then 'held'
        else planned.status::text
    end
$$;

-- ======== schemas/helpers/sender_of.sql ========
-- Return the sender of a business's texts of this class: its own, or else the default sender, which
-- a run named last. All null: no run has named one yet.
create or replace function smsretry.sender_of(business_id uuid, message_class text)
returns smsretry.senders
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
    v_sender smsretry.senders;
begin
    select s.*
    into v_sender
    from smsretry.senders s
    where s.id = coalesce(
        (
            select o.sender_id
            from smsretry.own_senders o
            where o.business_id = sender_of.business_id
              and o.message_class = sender_of.message_class
        ),
        (
            select t.id
            from smsretry.senders t
            where t.named_at is not null
            order by t.named_at desc
            limit 1
        )
    );
    return v_sender;
end
$$;

-- ======== schemas/helpers/sends_through.sql ========
-- Say whether texts of a business, of either class, go out from one of these senders now.
--   senders: as smsretry.receivers_of returns them
create or replace function smsretry.sends_through(business_id uuid, senders text[])
returns boolean
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
begin
    return exists (
        select from unnest(array['marketing', 'transactional']) c (message_class)
        cross join lateral smsretry.sender_of(
            sends_through.business_id,
            c.message_class
        ) s
        where s.sent_by = any (sends_through.senders)
    );
end
$$;

-- ======== schemas/helpers/shown_sender.sql ========
-- Show a sender to people: a messaging service's SID as it is, of a number the last four digits.
create or replace function smsretry.shown_sender(sent_by text)
returns text
language plpgsql immutable set search_path = pg_catalog, pg_temp as $$
begin
    return case
        when sent_by like '+%'
            then smsretry.masked(sent_by)
        else sent_by
    end;
end
$$;

-- ======== schemas/helpers/standing_words.sql ========
-- The words against texts that hold: what was kept later of the same number or customer does not
-- answer them (smsretry.answers), and no opt-out answers unread ones. Later is by id, because clocks
-- are set back.
create or replace view smsretry.standing_words with (security_invoker = true) as
select o.*
from smsretry.consents o
where o.said in ('opted_out', 'unsure')
  and not exists (
      select from smsretry.consents i
      where i.subject_key = o.subject_key
        and i.said in ('opted_in', 'unchanged')
        and i.id + 0 > o.id -- by the number's index alone
        and smsretry.answers(i, o)
      offset 0
  ) -- each looks behind itself alone, where a join would compare all with all
  and not (
      o.said = 'unsure'
      and exists (
          select from smsretry.consents s
          where s.subject_key = o.subject_key
            and s.said = 'opted_out'
            and s.id > o.id
            and s.dated >= o.dated
            and (
                o.business_id is not null
                or s.senders is null
                or o.senders <@ s.senders
            )
          offset 0
      )
  );

-- ======== schemas/helpers/stopped.sql ========
-- All stops, for monitors: those of smsretry.stops, but for senders without users; and sending
-- while the mark of the database and the last run's worker disagree.
create or replace view smsretry.stopped with (security_invoker = true) as
select s.kind, s.subject, s.since, s.why, s.who
from smsretry.stops s
where s.kind <> 'sender'
   or s.subject = (smsretry.sender_of(null, null)).id::text
   or exists (
       -- nothing goes out from a former default sender, so nothing would end its stop
       select from smsretry.business_senders b
       where b.sender_id::text = s.subject
   )
union all
select 'everybody', '', r.started_at, m.why, null
from (
    select *
    from smsretry.runs
    order by started_at desc
    limit 1
) r
cross join lateral smsretry.mark_mismatch(r.send_to, r.address) m (why)
where m.why is not null;

-- ======== schemas/helpers/stopped_states.sql ========
-- The US states to which no marketing text goes, in order.
create or replace view smsretry.stopped_states with (security_invoker = true) as
select
    array_agg(s.subject order by s.subject) as states,
    string_agg(s.subject, ',' order by s.subject) as list
from smsretry.stops s
where s.kind = 'state';

-- ======== schemas/helpers/text_state.sql ========
-- Name a text's state in a word for people. With smsretry.live_state and smsretry.planned_state
-- this is the one definition.
create or replace function smsretry.text_state(
    retry public.sms_retry_queue,
    at timestamptz
)
returns text
language sql immutable set search_path = pg_catalog, pg_temp as $$
    select case
        when retry.work is not null
            then smsretry.live_state(
                retry.work,
                retry.in_doubt_since,
                retry.held_since,
                retry.scheduled_for,
                at
            )
        when retry.status = 'completed' then 'sent'
        else retry.status -- failed or cancelled
    end
$$;

-- ======== schemas/helpers/stop_words.sql ========
-- List the expressions of a kind, parted by blanks. They are those of smsretry/data/stop_words.tsv.
create or replace function smsretry.stop_words(kind text)
returns text
language sql immutable set search_path = pg_catalog, pg_temp as $$
    select ltrim(case stop_words.kind
        when 'courtesy' then
            ' please'
            ' pleas'
            ' pls'
            ' plz'
            ' kindly'
            ' thanks?'
            ' thank_?(you|u)'
            ' thankyou'
            ' thx'
            ' th?nx'
            ' tks'
            ' ty'
            ' tysm'
            ' porfa'
            ' por_favor'
            ' favor'
            ' gracias'
            ' svp'
            ' s_il_vous_plait'
            ' s_v_p'
            ' merci'
            ' bitte'
            ' danke'
            ' dank_je'
            ' obrigad[oa]'
            ' grazie'
        when 'greeting' then
            ' okay'
            ' ok'
            ' hi'
            ' hello'
            ' hey'
            ' ya'
            ' i_want_to'
            ' i_would_like_to'
        when 'says' then
            ' stop'
            ' stop_now'
            ' stop_?all'
            ' un_?subscribe'
            ' unsub'
            ' opt_?out'
            ' opt_me_out'
            ' cease'
            ' desist'
            ' (stop|quit)_(send|text|txt|messag|contact|bother|spamm|harass)ing'
            ' no_more_(texts|messages|reminders)'
            ' do_not_(text|txt|message|contact)_(me|us)'
            ' take_me_off_(your|the|this)_list'
            ' (remove|delete)_(me|(my|this)_number)(_from_(your|the|this)_list)?'
            ' no_mas_(mensajes|textos)'
            ' (dar|dame|denme|darme)_de_baja'
            ' no_me_(escriban?|manden?|envien?)(_mas)?(_mensajes)?'
            ' arret[et]?'
            ' arrete[rz]'
            ' (me_)?desabonne[rz](_moi)?'
            ' plus_de_(sms|messages)'
            ' ne_m_(envoyez|ecrivez)_plus(_de_(sms|messages))?'
        when 'alone' then
            ' end'
            ' quit'
            ' cancel'
            ' revoke'
            ' remove'
            ' td'
            ' alto'
            ' baja'
            ' basta'
            ' para'
            ' pare'
            ' paren'
            ' parar'
            ' detener'
            ' no_mas'
            ' desinscrire'
        when 'object' then
            ' me'
            ' us'
            ' it'
            ' all'
            ' now'
            ' already'
            ' again'
            ' any_?more'
            ' the'
            ' these'
            ' this'
            ' my'
            ' texts?'
            ' messages?'
            ' sms'
            ' reminders'
            ' number'
        when 'texts' then
            ' te?x[ti]\w*'
            ' txt\w*'
            ' sms'
            ' me?ss?a?g\w*'
            ' notif\w*'
            ' remind\w*'
            ' alerts?'
            ' communic\w*'
            ' promo\w*'
            ' ads?'
            ' advert\w*'
            ' market\w*'
            ' (re)?contact\w*'
            ' sending'
            ' emails'
            ' emailing'
            ' coupons?'
            ' offers'
            ' ofertas'
            ' updates'
            ' blasts?'
            ' reach\w*_out'
            ' su\w{0,2}cri\w*'
            ' inscri\w*'
            ' abonn\w*'
            ' mensa\w*'
            ' nachricht\w*'
            ' recordat\w*'
            ' publici\w*'
            ' avisos?'
            ' envi\w*'
            ' mand[ea]\w*'
            ' escrib\w*'
            ' escrev\w*'
            ' envo\w*'
            ' ecri\w*'
            ' pubs?'
            ' rappel\w*'
            ' werbung'
            ' schreib\w*'
        when 'not' then
            ' no'
            ' nomore'
            ' not'
            ' never'
            ' rather'
            ' without'
            ' nunca'
            ' ni'
            ' sin'
            ' sem'
            ' nao'
            ' ne'
            ' pas'
            ' plus'
            ' aucun'
            ' jamais'
            ' kein\w*'
            ' nicht'
        when 'not_this' then
            ' (?<!\m(you|u|they|these|those|T)(_\w+)?_)(not|never)(_(mean|want|ask|say|said|to|be))*_(stop\w*|unsub\w*|opt_out|cancel\w*|remov\w*|delet\w*|forget|quit|(take|get)_(me|us|it)_off)(_me_from)?'
            ' (bus|last|next|first|one|a|which|what|metro|train|non)_?stop'
            ' (i|the)_consent'
            ' consent_forms?'
            ' didW_stop'
            ' (stop|quit)(ping)?_(work|smok|eat|tak|worry)ing'
            ' (my|your|in)_spam'
            ' stop_the(?!_(madness|crap|nonsense|(\w+_)?T))'
            ' (i|we)(_(can|ll|will|should|must|could|just|have_to|need_to))?_stop(?!_(\w+_)?(T|this|these|get\w*)|E)'
            ' stop(ping)?_(by|in|over|at(?!_(once|this_time))|for(?!_(good|now|today|tonight|ever|the_(moment|time)|a_while|this))|signs?|lights?|to_(get|pick|see))'
            ' (?<!\mrather_)(not|never)_(get\w*|got|rec\w+|saw|seen?)W_T'
            ' no_(me_llego|recibi)W_T'
            ' pas_recuW_T'
        when 'begins' then
            ' unsub'
            ' unsus'
            ' un_sub'
            ' un\w*cri'
            ' desubscri'
            ' usub'
            ' ceas'
            ' desist'
            ' terminat'
            ' discontin'
            ' suspend'
            ' deactivat'
            ' unenrol'
            ' un_enrol'
            ' disenrol'
            ' unlist'
            ' deregist'
            ' purge'
            ' scrub'
            ' eras'
            ' exclu'
            ' wipe'
            ' violat'
            ' fcc'
            ' ftc'
            ' privacy'
            ' unwelcome'
            ' revoc'
            ' revok'
            ' rescind'
            ' withdr'
            ' consent'
            ' permis'
            ' unauth'
            ' spam'
            ' harass'
            ' bother'
            ' annoy'
            ' scam'
            ' tcpa'
            ' illegal'
            ' unwanted'
            ' unsolicited'
            ' intrusive'
            ' lawyer'
            ' attorney'
            ' lawsuit'
            ' suing'
            ' fuc?k'
            ' fck'
            ' f_ck'
            ' f_u_c_k'
            ' refrain'
            ' uninterested'
            ' deceas'
            ' land_?line'
            ' borr'
            ' elimin'
            ' cancelen'
            ' quitar'
            ' quiten'
            ' quit[ea]me'
            ' saqu'
            ' remuev'
            ' desactiv'
            ' desus'
            ' bloqu'
            ' denunci'
            ' molest'
            ' fastidi'
            ' perturb'
            ' signaler'
            ' insistez'
            ' derang'
            ' lach'
            ' equivoc'
            ' descadastr'
            ' apagu'
            ' deten'
            ' acoso'
            ' autori'
            ' suppri'
            ' effac'
            ' enlev'
            ' retirez'
            ' retirer'
            ' tromp'
            ' harcel'
            ' degag'
            ' refus'
            ' oppose'
            ' desab'
            ' desin'
            ' resili'
            ' cesse'
            ' arretez'
            ' arreter'
            ' arrete_d'
            ' abmeld'
            ' falsch'
            ' losch'
            ' abbestell'
            ' aufhor'
            ' austrag'
        when 'phrases' then
            ' stop'
            ' stopper'
            ' stop\d\w*'
            ' \w+stop'
            ' stahp'
            ' halt'
            ' pauseW_T'
            ' (?<!\m[a-z]+_)quit'
            ' quitW_T'
            ' to_quit'
            ' optout'
            ' opt\w*W_ou[ty]'
            ' NW_opt\w*_in'
            ' taken_off'
            ' want_off'
            ' want_out'
            ' (off|out|from)W_lists?'
            ' off?_my_phone'
            ' this_list'
            ' getting_these'
            ' rid_of_these'
            ' these_to_end'
            ' T_end'
            ' turn_this_off'
            ' shut_this_off'
            ' turn_these_off'
            ' (take|took|get|want|like)_(me|us|my|to_be)W_(off|out)'
            ' this_number_off'
            ' (cancel\w*|(?<!the_)end|annul\w*|anul\w*|turn|shut|disable|skip)(W_(T|these|those|account)|_(it|this|all|everything|service|esto)(?=E))'
            ' (remov\w*|delet\w*|forget|drop|lose|block)W_(T|me|us|this|name|num\w*|info\w*|data|account|profile|details|email|phone|cell)'
            ' da_lista'
            ' la_lista'
            ' der_liste'
            ' to_be_removed'
            ' wanna_be_removed'
            ' me_removed'
            ' number_removed'
            ' dnc'
            ' (gave|give|got|get|have|owner)W_(my|this)_(num|info|cell)\w*'
            ' (his|her|mi|este|mon|ce|meine|wrong|incorrect|bad|private)(_phone)?_nu\w+'
            ' work_phone'
            ' wrong_person'
            ' wrong_guy'
            ' wrong_girl'
            ' wrong_phone'
            ' wrong_no'
            ' NWW_(T|bug|disturb|hit_me_up|hmu|solicit\w*|recibir|receber|recevoir)'
            ' N_send(?=E|_(me|us|any\w*|more|these|this|to_this)\M)'
            ' no_?more(?=E|_(of|this|these|sales|calls|ok))'
            ' N(_ever)?_(call|ring|phone|email)(_(me|us))?(?=E|_(again|any_?more|ever|or|list|regist|this))'
            ' NW_(wan(t|na)\w*|wish\w*)(?=(_it)?E|(_to)?_(be_on|be_part|get|rec\w+|any\w*|this|these|them|those|more|(yo)?ur)\M)'
            ' NW_(hear\w*_from|llame\w*|mochte)'
            ' NW_(quiero|deseo|quero|queremos)_(nada|mas|mais|esto|que|ser)'
            ' NW_inte?re?s\w*(?!_in_the)'
            ' (no|non|nein|nao)(_\.)?_C(?=[_C.]*$)'
            ' not_again'
            ' not_ever'
            ' not_ask(?=E|_(me|again))'
            ' not_her_phone'
            ' not_his_phone'
            ' not_reply'
            ' not_review'
            ' changed_hands'
            ' changed_owners'
            ' NW_(need|sign\w*|ask\w*|request\w*|agree\w*|gave|giv\w*|authori\w*|care)W_(this|these|them|your?|up(?=E))'
            ' not_know_(you|this|who)'
            ' never_again'
            ' never_(been|used|heard)W_your?'
            ' count_me_out'
            ' onlyW_email'
            ' email_only'
            ' mail_only'
            ' calls_only'
            ' prefer_calls'
            ' instead_of_T'
            ' not_welcome'
            ' not_include'
            ' T_cancel\w*'
            ' prefer_email'
            ' not_(a|my)W_any_?more'
            ' no_longer_a'
            ' no_longer_use'
            ' no_longer_using'
            ' no_longer_required'
            ' no_longer_needed'
            ' no_longer_go'
            ' no_longer_belongs'
            ' no_longerW_(num\w*|phone)'
            ' not_need(ed)?$'
            ' too_often'
            ' too_many(?=E|_(T|of_these))'
            ' too_much_T'
            ' TW_too_much'
            ' you_keepW_T'
            ' u_keepW_T'
            ' they_keepW_T'
            ' you_keep_asking'
            ' you_keep_calling'
            ' told_you_no'
            ' ur_blocked'
            ' re_blocked'
            ' legal_action'
            ' in_court'
            ' the_law'
            ' email_instead'
            ' a_no_from'
            ' let_me_be'
            ' eat_shit'
            ' bite_me'
            ' kiss_my'
            ' T_no'
            ' (enough|done|fed_up|hate|tired|sick)W_(T|these|your?)'
            ' enough_already'
            ' enough_is'
            ' enough_now'
            ' enough_with'
            ' (why|still)W_(T|getting)'
            ' to_sue'
            ' will_sue'
            ' ll_sue'
            ' (report|block)\w*_(you|this|as)'
            ' block_me'
            ' blocked_and'
            ' blocking_and'
            ' are_blocked'
            ' leave_(me|us|my)W_(alone|be)'
            ' go_away(?=E)'
            ' get_lost'
            ' piss_off'
            ' buzz_off'
            ' bug_off'
            ' bugger_off'
            ' back_off'
            ' screw_off'
            ' f_off'
            ' eff_off'
            ' shutW_up'
            ' let_me_alone'
            ' driving_me_crazy'
            ' per_T'
            ' complaint_with'
            ' file_a_complaint'
            ' filing_a_complaint'
            ' tf_off'
            ' kick_rocks'
            ' get_a_life'
            ' screw_you'
            ' go_to_hell'
            ' stfu'
            ' last_warning'
            ' final_warning'
            ' means_no'
            ' said_no'
            ' authorized_you'
            ' knock_it_off'
            ' cut_it_out'
            ' a_rest'
            ' zero_interest'
            ' not_for_me'
            ' no_account'
            ' no_idea_who'
            ' another_company'
            ' f_u'
            ' go_f'
            ' notW_(number|person|customer|client|patient|member|live|belongs?)'
            ' this_is_not_(?!what|right|ok|the|my)\w+'
            ' someone_else'
            ' passed_away'
            ' rather_not(?=E|_get)'
            ' he_died'
            ' she_died'
            ' mom_died'
            ' dad_died'
            ' mother_died'
            ' husband_died'
            ' dog_died'
            ' he_is_dead'
            ' she_is_dead'
            ' person_is_dead'
            ' no_oneW_named?'
            ' nobodyW_named?'
            ' is_noW_here'
            ' noW_at_this'
            ' basta'
            ' baja'
            ' nunca'
            ' alto_a'
            ' alto_ya'
            ' par(ar|a|e|en|em|enle)_(T|de|ya|con|com|los)'
            ' me_tira'
            ' me_tire'
            ' tire_meu'
            ' ya_estuvo'
            ' ya_no(?=E)'
            ' ya_no_quiero'
            ' ya_me'
            ' ya_parenle'
            ' dej\w+(_de|_en_paz)'
            ' cesa'
            ' cese'
            ' cesen'
            ' me_salgo'
            ' me_opongo'
            ' N_(necesito|conozco|conheco|pedi|soy|sou|vive)'
            ' harto'
            ' harta'
            ' numero_errado'
            ' numero_mal'
            ' numero_incorrecto'
            ' es_suW_num\w*'
            ' no_es_el_num\w*'
            ' marco_mal'
            ' dije_que_no'
            ' pas_moi'
            ' quiero_salir'
            ' quiero_salirme'
            ' m_interesse_pas'
            ' veux_plus'
            ' veux_pas(?=E)'
            ' hort_auf'
            ' horen_sie_auf'
            ' stoppt'
            ' stoppen'
            ' melde_mich_ab'
            ' mochte_ich_nicht'
            ' will_ich_nicht'
            ' will_das_nicht'
            ' nie_wieder'
            ' chega_de'
            ' in_ruhe'
            ' (ne?|en)_(\w+_){1,2}plus'
            ' tranquil\w*'
            ' plus_rien'
            ' nicht_mehr'
            ' la_paix'
            ' en_paix'
            ' va_te_faire'
            ' ras_le_bol'
            ' fini_les'
            ' faites_erreur'
            ' plainte'
            ' reportar'
            ' marre'
            ' suffit'
            ' assez'
            ' mauvais_num\w*'
            ' mauvaise_personne'
            ' faux_num\w*'
            ' erreur_de'
            ' connais_pas'
            ' (pas|rien|jamais)_(demande|T|donne)'
        when 'whole' then
            ' enough'
            ' had_enough'
            ' nothanks'
            ' not_care'
            ' anular'
            ' that_s_enough'
            ' thats_enough'
            ' removed'
            ' do_not'
            ' just_no'
            ' hard_no'
            ' absolutely_not'
            ' can_you_not'
            ' no_need'
            ' not_necessary'
            ' not_him'
            ' not_her'
            ' not_me'
            ' canceled'
            ' cancelled'
            ' junk'
            ' i_quit'
            ' i_decline'
            ' declined?'
            ' reject'
            ' off'
            ' out'
            ' exit'
            ' leave'
            ' mute'
            ' turnW_off'
            ' shutW_off'
            ' block'
            ' blocked'
            ' report'
            ' reported'
            ' deleted?'
            ' unfriend'
            ' unfollow'
            ' never'
            ' hell_no'
            ' no_quiero'
            ' nao_quero'
            ' pass'
            ' hard_pass'
            ' i_ll_pass'
            ' i_m_done'
            ' im_done'
            ' dnd'
            ' nty'
            ' par[ae]n_?l[eo]'
            ' salir'
            ' fuera'
            ' cancelar'
            ' terminar'
            ' remover'
            ' bloqueado'
            ' fini?'
            ' annuler'
            ' annulez'
            ' erreur'
            ' ende'
            ' kundigen'
            ' sair'
            ' quero_sair'
            ' chega'
            ' parem'
            ' ferma'
            ' annulla'
            ' afmelden'
            ' raus'
            ' nein'
            ' como_cancelo'
            ' quiero_cancelar'
            ' quero_cancelar'
            ' koniec'
            ' dung_lai'
            ' tigil'
            ' berhenti'
            ' sispann'
        when 'elsewhere' then
            ' стоп'
            ' СТОП'
            ' Стоп'
            ' отпи'
            ' توقف'
            ' إلغاء'
            ' הסר'
            ' עצור'
            ' बंद'
            ' หยุด'
            ' ยกเลิก'
            ' 停'
            ' 退订'
            ' 退訂'
            ' 取消'
            ' ストップ'
            ' やめて'
            ' 중지'
            ' 그만'
            ' 거부'
        when 'near' then
            ' stop'
            ' unsubscribe'
            ' cancel'
            ' quit'
            ' revoke'
            ' optout'
            ' remove'
        when 'ordinary' then
            ' cancel'
            ' top'
            ' shop'
            ' step'
            ' slop'
            ' quiet'
            ' quite'
            ' suit'
            ' unit'
            ' quiz'
            ' qui'
            ' remote'
            ' cancer'
        when 'stops' then
            ' stop'
            ' stopp?ing'
            ' quit'
            ' cancel'
            ' remove'
            ' delete'
            ' unsubscribe'
            ' unsub'
            ' end'
            ' optout'
            ' optmeout'
            ' nomore'
            ' nomas'
            ' stopall'
            ' takemeoff'
            ' leavemealone'
            ' don?t?t?(e?xt|text|txt|message|msg|contact|call)'
            ' alto'
            ' basta'
            ' baja'
            ' paren'
        when 'joins' then
            ' me'
            ' us'
            ' it'
            ' all'
            ' now'
            ' this'
            ' the'
            ' these'
            ' that'
            ' please'
            ' pls'
            ' plz'
            ' thanks'
            ' thankyou'
            ' thx'
            ' ty'
            ' ok'
            ' texts?'
            ' texting'
            ' msgs?'
            ' messages?'
            ' messaging'
            ' sms'
            ' sending'
            ' sendingme'
            ' contacting'
            ' spam'
            ' spamming'
            ' calling'
            ' mensajes'
            ' textos'
            ' ya'
            ' my'
            ' your'
            ' number'
            ' list'
            ' off'
            ' from'
            ' to'
            ' porfavor'
        when 'while' then
            ' for_now'
            ' for_today'
            ' for_the_moment'
            ' por_ahora'
            ' por_hoy'
    end)
$$;

-- ======== schemas/views/claimed_retry.sql ========
-- A claimed row, with everything that decides about it. Row level security is the caller's. Columns
-- that only the application's own processor reads (status, reason, last_error, times, consent) are
-- here for its claim_due_sms_retries.
--   fingerprint: of what a decision to send is made from. If it is another one when the send
--     begins, decide again
create or replace view smsretry.claimed_retry with (security_invoker = true) as
select
    q.id,
    q.business_id,
    q.send_log_id,
    q.customer_id,
    q.status,
    q.attempt_count,
    q.max_attempts,
    q.scheduled_for,
    q.last_attempted_at,
    q.last_error,
    q.reason,
    q.created_at,
    q.updated_at,
    q.claim_no,
    q.claimed_at,
    q.expires_at,
    q.held_since is not null as held,
    q.why,
    q.why_code::text as why_code,
    q.message_class,
    q.attempt_id,
    q.in_doubt_since,
    q.reconcile_count,
    -- The send that a row is in doubt about. other_bodies: those of other sends to that number in
    -- doubt or under way, the nearest in time first. A message with those words is theirs.
    case
        when q.in_doubt_since is not null and a.id is not null
            then jsonb_build_object(
                'begun_at', a.begun_at,
                'phone', a.sent_to,
                'body', a.sent_body,
                'sent_by', a.sent_by,
                'account', a.sent_account,
                'other_bodies', array(
                    select o.sent_body
                    from public.sms_send_attempts o
                    where o.sent_to = a.sent_to
                      and o.id <> a.id
                      and o.sent_body <> coalesce(a.sent_body, '')
                    group by o.sent_body
                    order by
                        min(abs(extract(epoch from o.begun_at - a.begun_at))),
                        o.sent_body
                    limit 20
                )
            )
    end as attempt,
    l.id is not null as send_log_found,
    cut.body,
    left(l.channel::text, 40) as channel,
    smsretry.is_sent(l.provider_message_id, l.status::text) as log_says_sent,
    smsretry.found_sid(l.provider_message_id) as known_sid,
    c.id is not null as customer_found,
    cut.phone,
    cut.timezone,
    smsretry.consent(c.sms_consent_status::text) as sms_consent_status,
    cut.business_timezone,
    cut.business_hours,
    cut.business_cap,
    md5(
        row(
            cut.*,
            q.message_class,
            (select s.list from smsretry.stopped_states s),
            own.id
        )::text
    ) as fingerprint,
    -- since when it might have gone out
    greatest(q.scheduled_for, least(q.first_due_at, q.created_at)) as due_since,
    coalesce(lost.messages, '[]') as lost_messages,
    -- null: the default sender
    own.sender || jsonb_build_object('whose', left(b.name, 200)) as sender
from public.sms_retry_queue q
left join public.sms_send_attempts a on a.id = q.attempt_id
-- Consent is given to one business. Not by equality, here and below: without statistics PostgreSQL
-- might walk the business's index, which has all of its history.
left join public.send_logs l
    on l.id = q.send_log_id
      and l.business_id is not distinct from q.business_id
left join public.customers c
    on c.id = q.customer_id
      and c.business_id is not distinct from q.business_id
left join public.businesses b on b.id = q.business_id
-- Values are cut: a body of megabytes would cost the other rows of the claim.
cross join lateral (
    select
        left(l.subject, smsretry.longest_body() + 1) as body,
        left(c.phone, 40) as phone,
        left(c.timezone, 100) as timezone,
        left(b.timezone, 100) as business_timezone,
        left(b.sms_hours, 1000) as business_hours,
        b.sms_daily_cap as business_cap
) cut
left join lateral (
    select s.sender, s.id
    from smsretry.own_senders o
    join smsretry.claim_senders s on s.id = o.sender_id
    where o.business_id = q.business_id
      and o.message_class = q.message_class
    offset 0
) own
    on true
-- Undelivered messages of this text, newest first: the provider is asked once more before another
-- one leaves. Excused ones are left out: no carrier took them from their sender, so they cannot
-- arrive, and that sender's account may be closed by now. But the provider says since when its own
-- quiet hours keep one from arriving.
left join lateral (
    select jsonb_agg(
        jsonb_build_object('sid', m.twilio_sid, 'account', m.sent_account)
        order by m.begun_at desc
    ) as messages
    from public.sms_send_attempts m
    -- An array, so that an index finds them without statistics.
    where q.last_attempted_at is not null -- of an earlier row, too (smsretry.enter_queue)
      and m.retry_id = any (
        array(
            select r.id
            from public.sms_retry_queue r
            where r.send_log_id = q.send_log_id
        )
    )
      and smsretry.is_lost(m.delivery_status)
      and (
          not m.delivery_excused
          or q.why_code = 'quiet_hours' and q.error_code = m.delivery_code
      )
) lost
    on true;

-- ======== schemas/queue/enter_queue.sql ========
-- Receive a text into the queue, or back into it after its end, whoever writes that. If an earlier
-- send of it may have gone out, it is in doubt about that. For a new row, the claim of the
-- application's own processor ends, its age counts from now by the one clock, and when it was first
-- due is kept. An upsert comes here too, and inserts nothing where its id is taken: then nothing
-- else changes. If row level security refuses the row, all of this is undone.
create or replace function smsretry.enter_queue(
    new public.sms_retry_queue,
    is_new boolean
)
returns public.sms_retry_queue
language plpgsql set search_path = pg_catalog, pg_temp
as $$
declare
    v_now constant timestamptz := smsretry.clock();
    v_doubt record;
begin
    if is_new then
        -- as created_at: the application's table may have no default
        new.updated_at := coalesce(new.updated_at, v_now);
        if new.reason = 'quiet_hours'
            and new.attempt_count >= new.max_attempts
            and new.max_attempts > 0
        then
            -- the send that may not go out now was no attempt: it is still owed
            new.attempt_count := new.max_attempts - 1;
        end if;
        -- It could not go out before it came here, unless it was planned.
        new.first_due_at := case
            when new.scheduled_for >= v_now
              or exists (
                  select from public.scheduled_sends s
                  where s.id = new.send_log_id
                    and s.business_id is not distinct from new.business_id
              )
                then new.scheduled_for
            else v_now
        end;
        new.last_error := left(new.last_error, smsretry.longest_reason());
        new.last_attempted_at := coalesce(
            new.last_attempted_at,
            (
                select max(q.last_attempted_at)
                from public.sms_retry_queue q
                where q.send_log_id = new.send_log_id
            )
        );
        if new.status <> 'pending'
            or exists (
                select from public.sms_retry_queue q
                where q.id = new.id
            ) then
            return new;
        end if;
        new.created_at := v_now;
        perform smsretry.supersede(
            new.send_log_id,
            new.business_id,
            new.attempt_count
        );
    end if;
    select *
    into v_doubt
    from smsretry.earlier_doubt(new.send_log_id, new.business_id);
    if v_doubt.attempt_id is not null then
        new.attempt_id := v_doubt.attempt_id;
        new.in_doubt_since := v_doubt.since;
        new.reconcile_count := 0;
        new.held_since := null;
        new.why := 'An earlier send of this text may have gone out: it is looked for before another one leaves';
        new.why_code := 'in_doubt';
    end if;
    return new;
end
$$;

-- ======== schemas/queue/guard_row.sql ========
-- Keep the rules of a row of the queue, whoever writes it and whatever other triggers made of it. One
-- trigger, and no condition of its own: PostgreSQL would parse that anew in each statement. security
-- definer, because the application and tenants may neither write events and attempts nor call
-- smsretry.work.
create or replace function smsretry.guard_row()
returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
    v_broken text;
begin
    if tg_op = 'INSERT' then
        new := smsretry.enter_queue(new, true);
    elsif old.status in ('completed', 'failed', 'cancelled') and new.status = 'pending' then
        new := smsretry.enter_queue(new, false);
    elsif old.claimed_by_application
        and new.in_doubt_since is not null
        and new.status in ('completed', 'failed')
    then
        -- Its own claim ran out and put the text in doubt. Believe it what became of it.
        update public.sms_send_attempts a
        set
            outcome = case new.status when 'completed' then 'accepted' else 'rejected' end,
            finished_at = smsretry.clock(),
            settled_by = 'application',
            sent_to = null,
            sent_body = null
        where a.id = new.attempt_id and a.outcome = 'in_doubt';
        new.attempt_id := null;
        new.in_doubt_since := null;
        new.held_since := null;
        new.claimed_at := null;
        new.claimed_by_application := false;
    end if;
    -- A generated column would do, but PostgreSQL 18 publishes none, and then refuses each update of
    -- a table whose replica identity is full.
    new.work := smsretry.work(new.status, new.recover_count, new.in_doubt_since);

    -- The state machine. A row that breaks it is refused like one that breaks a constraint.
    v_broken := case
        when new.status = 'processing' and new.claimed_at is null
            then 'lease' -- without it nobody could take the row back
        when new.begun_at is not null
            and (new.status = 'processing' and new.attempt_id is not null) is not true
            then 'begun' -- only a claimed row is begun, and its send has an id
        when new.in_doubt_since is not null
            and (new.attempt_id is null or new.status = 'completed')
            then 'doubt' -- it is about one attempt, and not about a text that is known to be sent
        when new.held_since is not null
            and (new.status in ('pending', 'processing') and new.why is not null) is not true
            then 'held'
        when greatest(length(new.last_error), length(new.why)) > smsretry.longest_reason()
            then 'lengths' -- a claim's answer carries them for each of its rows
    end;
    if v_broken is not null then
        raise exception 'A row of sms_retry_queue would break its rule sms_retry_queue_% (smsretry.guard_row)', v_broken
            using errcode = '23514',
                  constraint = 'sms_retry_queue_' || v_broken,
                  table = 'sms_retry_queue',
                  schema = 'public';
    end if;
    -- Not for a claim, a begin and an acceptance, which the plain path is made of.
    if tg_op = 'UPDATE' and (
        new.status in ('pending', 'failed', 'cancelled')
            and (old.status <> new.status or new.scheduled_for > old.scheduled_for)
        or new.status = 'completed'
            and (new.claimed_at is not null or old.status not in ('processing', 'completed'))
    ) then
        perform smsretry.keep_event(old, new);
    end if;
    return new;
end
$$;

-- ======== schemas/queue/queue_sms_retry.sql ========
-- Queue a retry for a send log, or return the live row that it has. If an earlier row ended in
-- doubt, the new one is in doubt about that send (smsretry.enter_queue). The application may call
-- it with send_log_id alone. Parameter names are the API, here and in all of public.
--   reason: with quiet_hours the text is queued whatever attempt_count says, and has a send left,
--     because quiet hours cost no attempt
--   scheduled_for: when it is due; wins over due_in. Null for both: smsretry.retry_delay says
--   expires_in: a day of it has 24 hours; null: the text is of use for as long as the worker says
--   message_class: null: marketing
--   result: queued, already_queued, already_sent, or attempts_exhausted (the send log is then
--     failed)
create or replace function public.queue_sms_retry(
    send_log_id uuid,
    reason text default null,
    attempt_count integer default 0,
    scheduled_for timestamptz default null,
    error text default null,
    due_in interval default null,
    max_attempts integer default 3,
    expires_in interval default null,
    message_class text default null
)
returns table (retry_id uuid, result text, due_at timestamptz)
language plpgsql set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    v_now constant timestamptz := smsretry.clock();
    v_due constant timestamptz := coalesce(
        queue_sms_retry.scheduled_for,
        v_now + coalesce(
            queue_sms_retry.due_in,
            smsretry.retry_delay(queue_sms_retry.attempt_count)
        )
    );
    v_expires constant timestamptz := v_now + make_interval(
        secs => extract(epoch from queue_sms_retry.expires_in)::double precision
    );
    v_error constant text := left(queue_sms_retry.error, smsretry.longest_reason());
    v_class constant text := coalesce(queue_sms_retry.message_class, 'marketing');
    v_log public.send_logs;
    v_problem text;
begin
    select *
    into v_log
    from public.send_logs l
    where l.id = queue_sms_retry.send_log_id
    for update;
    if v_log.id is null then
        raise exception 'There is no send log %', queue_sms_retry.send_log_id
            using errcode = 'SR404',
                  hint = 'Insert the send_logs row first, then queue its retry.';
    end if;
    v_problem := case
        when v_log.channel <> 'sms'
            then format(
                'Send log %s is of channel %s, not sms',
                v_log.id,
                v_log.channel
            )
        when v_log.customer_id is null
            then format(
                'Send log %s names no customer: set send_logs.customer_id, because consent and phone number are read there',
                v_log.id
            )
        when exists (
            select from public.customers c
            where c.id = v_log.customer_id
              and c.business_id <> v_log.business_id
        )
            then format(
                'Send log %s names a customer of another business',
                v_log.id
            )
        when (queue_sms_retry.attempt_count >= 0) is not true
          or queue_sms_retry.max_attempts is null
            then 'attempt_count and max_attempts must be numbers, 0 or more'
        when v_class not in ('marketing', 'transactional')
            then 'message_class must be marketing or transactional'
        when queue_sms_retry.reason not in (
            'quiet_hours',
            'twilio_error',
            'rate_limit'
        )
            then 'reason must be quiet_hours, twilio_error or rate_limit, or be left out'
    end;
    if v_problem is not null then
        raise exception '%', v_problem using errcode = 'SR422';
    end if;
    if smsretry.is_sent(v_log.provider_message_id, v_log.status::text) then
        return query select null::uuid, 'already_sent', null::timestamptz;
        return;
    end if;
    perform smsretry.supersede(
        v_log.id,
        v_log.business_id,
        queue_sms_retry.attempt_count
    );
    -- again only if somebody else inserts a row for the same text at this very moment
    for v_try in 1 .. 3 loop
        return query
        select q.id, 'already_queued', q.scheduled_for
        from public.sms_retry_queue q
        where q.send_log_id = v_log.id
          and q.status in ('pending', 'processing');
        if found then
            return;
        end if;

        if queue_sms_retry.attempt_count >= queue_sms_retry.max_attempts
            and queue_sms_retry.reason is distinct from 'quiet_hours'
        then
            update public.send_logs l
            set
                status = 'failed',
                updated_at = v_now,
                error_message = coalesce(
                    v_error,
                    'Gave up after ' || queue_sms_retry.attempt_count || ' attempts'
                )
            where l.id = v_log.id;
            return query select null::uuid, 'attempts_exhausted', null::timestamptz;
            return;
        end if;

        return query
        insert into public.sms_retry_queue (
            business_id,
            send_log_id,
            customer_id,
            status,
            attempt_count,
            max_attempts,
            scheduled_for,
            reason,
            last_error,
            expires_at,
            message_class,
            created_at,
            updated_at
        )
        values (
            v_log.business_id,
            v_log.id,
            v_log.customer_id,
            'pending',
            queue_sms_retry.attempt_count,
            queue_sms_retry.max_attempts,
            v_due,
            queue_sms_retry.reason,
            v_error,
            v_expires,
            v_class,
            v_now,
            v_now
        )
        on conflict
        do nothing
        returning
            id,
            'queued',
            sms_retry_queue.scheduled_for;
        if found then
            return;
        end if;
    end loop;
    raise exception 'The row for send log % was not kept', v_log.id
        using errcode = 'SR409',
              hint = 'A trigger on sms_retry_queue swallows inserts: look at the triggers that are not smsretry''s.';
end
$$;

-- ======== schemas/queue/recheck_waiting.sql ========
-- Release texts that wait because of a customer's place or a business's hours, where a statement has
-- changed these. security definer, because tenants write customers and businesses, and no rows of
-- others'.
create or replace function smsretry.recheck_waiting()
returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
    v_customers uuid[] := '{}';
    v_businesses uuid[] := '{}';
begin
    if tg_table_name = 'customers' then
        v_customers := array(
            select n.id
            from customers_before o
            join customers_after n on n.id = o.id
            where (o.phone, o.timezone) is distinct from (n.phone, n.timezone)
        );
    else
        v_businesses := array(
            select n.id
            from businesses_before o
            join businesses_after n on n.id = o.id
            where (o.timezone, o.sms_hours, o.sms_daily_cap)
                is distinct from (n.timezone, n.sms_hours, n.sms_daily_cap)
        );
    end if;
    if cardinality(v_customers || v_businesses) > 0 then
        perform smsretry.release_texts(
            smsretry.why_codes_of('place'),
            v_customers,
            v_businesses
        );
    end if;
    return null;
end
$$;

-- ======== schemas/queue/release_texts.sql ========
-- Make texts due now that wait for one of these reasons, because what they wait for has changed: the
-- next claim decides anew whether they may go. Returns how many. A row that somebody has locked at
-- this moment waits for its own time, and so does what is beyond `most`.
--   reasons: words of smsretry.why_code
--   customers, businesses: whose texts; without either, everybody's. Suspect ones only of a
--     customer, because no index has these few by business
--   most: null: all
create or replace function smsretry.release_texts(
    reasons text[],
    customers uuid[] default null,
    businesses uuid[] default null,
    most integer default null
)
returns integer
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    v_now constant timestamptz := smsretry.clock();
    v_released integer;
begin
    update public.sms_retry_queue q
    set scheduled_for = v_now, updated_at = v_now
    where q.id = any (
        array(
            select w.id
            from unnest(customers) c (id)
            cross join lateral (
                select o.id
                from public.sms_retry_queue o
                where o.customer_id = c.id
                  -- is true: by the customer's index alone
                  and (
                      o.work in ('texts', 'suspect')
                      and o.why_code = any (reasons)
                      and o.scheduled_for > v_now
                  ) is true
                for update skip locked
            ) w
            limit most
        )
            || array(
                select w.id
                from unnest(businesses) b (id)
                cross join lateral (
                    select o.id
                    from public.sms_retry_queue o
                    where o.business_id = b.id
                      and o.work = 'texts'
                      and o.why_code = any (reasons)
                      and o.scheduled_for > v_now
                    for update skip locked
                ) w
                limit most
            )
            || array(
                select o.id
                from public.sms_retry_queue o
                where customers is null
                  and businesses is null
                  and o.work = 'texts'
                  and o.why_code = any (reasons)
                  and o.scheduled_for > v_now
                limit most
                for update skip locked
            )
    );
    get diagnostics v_released = row_count;
    return v_released;
end
$$;

-- ======== schemas/queue/save_row.sql ========
-- Write a row as its variable says: the one list of columns, so that whatever a function sets is
-- kept. The caller has locked the row and read it under that lock. What the text is, and the
-- application's own columns, never change. Only what changes many rows at once writes columns
-- itself: claim_rows, supersede, release_texts and record_restore. A row that no worker holds has
-- no lease, and one that has ended waits for nothing.
--   due: it goes back to pending, until then
--   ended: how it ends (completed, failed or cancelled); its send log is told
--   why: why it ends; of a completed row, what it had said before
--   why_code, code: the reason in a word, and the provider's code
--   sid: of the message that completes it; null: its send log says already that it was sent
create or replace function smsretry.save_row(
    retry public.sms_retry_queue,
    at timestamptz,
    due timestamptz default null,
    ended text default null,
    why text default null,
    why_code text default null,
    code integer default null,
    sid text default null
)
returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    if due is not null then
        retry.status := 'pending';
        retry.scheduled_for := save_row.due;
    elsif ended is not null then
        retry.status := save_row.ended;
        retry.last_error := case
            when ended <> 'completed' then save_row.why
        end;
        retry.why := case when ended = 'completed' then save_row.why end;
        retry.why_code := save_row.why_code;
        retry.error_code := save_row.code;
        retry.attempt_id := null;
        retry.in_doubt_since := null;
        retry.held_since := null;
    end if;
    if retry.status <> 'processing' then
        retry.claimed_at := null;
        retry.begun_at := null;
        retry.claimed_by_application := retry.claimed_by_application
            and retry.in_doubt_since is not null;
    end if;
    update public.sms_retry_queue q
    set
        status = retry.status,
        attempt_count = retry.attempt_count,
        max_attempts = retry.max_attempts,
        scheduled_for = retry.scheduled_for,
        last_attempted_at = retry.last_attempted_at,
        last_error = left(retry.last_error, smsretry.longest_reason()),
        reason = retry.reason,
        updated_at = save_row.at,
        claim_no = retry.claim_no,
        claimed_at = retry.claimed_at,
        begun_at = retry.begun_at,
        attempt_id = retry.attempt_id,
        in_doubt_since = retry.in_doubt_since,
        reconcile_count = retry.reconcile_count,
        reconciled_claim_no = retry.reconciled_claim_no,
        recover_count = retry.recover_count,
        error_code = retry.error_code,
        why = left(retry.why, smsretry.longest_reason()),
        why_code = retry.why_code,
        held_since = retry.held_since,
        claimed_by_application = retry.claimed_by_application,
        expires_at = retry.expires_at
    where q.id = retry.id;

    if ended = 'completed' then -- one that was delivered by an earlier message stays
        update public.send_logs l
        set
            status = case when save_row.sid is null then l.status else 'sent' end,
            provider_message_id = case
                when save_row.sid is null then l.provider_message_id
                else jsonb_build_object('twilio_sid', save_row.sid)
            end,
            error_message = null,
            updated_at = save_row.at
        where l.id = retry.send_log_id
          and not (
              l.status::text = 'delivered'
              and smsretry.found_sid(l.provider_message_id) is not null
          );
    elsif ended is not null then
        update public.send_logs l
        set
            status = 'failed',
            error_message = left(save_row.why, smsretry.longest_reason()),
            updated_at = save_row.at
        where l.id = retry.send_log_id
          and l.business_id = retry.business_id
          and not smsretry.is_sent(l.provider_message_id, l.status::text);
    end if;
end
$$;

-- ======== schemas/queue/supersede.sql ========
-- End the claim of a text whose next try the application's own processor queues, or the doubt that
-- the claim ran out into, so that one live row remains. The new row counts more attempts; otherwise
-- it is the same text queued twice, and the claim stays. It stays, too, if the new row is another
-- business's, which may name any send log.
create or replace function smsretry.supersede(
    send_log_id uuid,
    business_id uuid,
    attempt_count integer
)
returns void
language sql set search_path = pg_catalog, pg_temp as $$
    update public.sms_retry_queue q
    set
        status = 'failed',
        last_error = coalesce(q.last_error, 'Its next try is another row'),
        why_code = 'superseded',
        claimed_at = null,
        claimed_by_application = false,
        held_since = null,
        updated_at = smsretry.clock()
    where q.send_log_id = supersede.send_log_id
      and q.business_id = supersede.business_id
      -- is true: by its text alone; with old statistics an index of all claims is walked
      and (
          q.status in ('pending', 'processing')
          and q.claimed_by_application
          and q.attempt_count < supersede.attempt_count
              + (q.in_doubt_since is not null)::integer -- recovery has counted it
      ) is true
$$;

-- ======== schemas/queue/try_release.sql ========
-- Make texts due now (smsretry.release_texts), 10,000 at most, where that must not fail what its
-- caller does: if a rule of the application's refuses it, or it takes too long, they wait for their
-- own time.
create or replace function smsretry.try_release(
    reasons text[],
    customers uuid[] default null,
    businesses uuid[] default null
)
returns integer
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    return smsretry.release_texts(reasons, customers, businesses, 10000);
exception
    when query_canceled or others then
        raise warning 'Texts wait for their own time, though what they wait for has changed: %',
            sqlstate;
        return 0;
end
$$;

-- ======== schemas/queue/update_log.sql ========
-- Tell a send log what became of its text. Whatever the log says, the attempt has the truth.
-- Returns null if it worked; otherwise what refuses it, in codes and names, because the database's
-- message may quote the row.
--   statuses: the first that the application's table takes is written; null: the column's default,
--     as when the text was new
--   sid: of its message; null: the text waits, and has none
create or replace function smsretry.update_log(
    send_log_id uuid,
    statuses text[],
    sid text,
    error text,
    at timestamptz
)
returns text
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    v_error constant text := left(update_log.error, smsretry.longest_reason());
    v_status text;
    v_state text;
    v_table text;
    v_column text;
    v_rule text;
begin
    foreach v_status in array update_log.statuses loop
        begin
            if v_status is null then
                update public.send_logs l
                set
                    status = default,
                    provider_message_id = default,
                    error_message = v_error,
                    updated_at = update_log.at
                where l.id = update_log.send_log_id;
            else
                update public.send_logs l
                set
                    status = v_status,
                    error_message = v_error,
                    updated_at = update_log.at,
                    provider_message_id = case
                        when update_log.sid is null then '{}'
                        when smsretry.found_sid(
                            l.provider_message_id
                        ) = update_log.sid
                            then l.provider_message_id
                        else jsonb_build_object('twilio_sid', update_log.sid)
                    end
                where l.id = update_log.send_log_id;
            end if;
            if update_log.sid is null
                and exists (
                    select from public.send_logs l
                    where l.id = update_log.send_log_id
                      and smsretry.is_sent(l.provider_message_id, l.status::text)
                ) then
                raise exception 'It still says that its text was sent'
                    using errcode = 'SR409',
                          table = 'send_logs',
                          column = 'status';
            end if;
            return null;
        exception
            when deadlock_detected or lock_not_available or serialization_failure then
                raise; -- passing: the caller repeats the call
            when others then
                get stacked diagnostics
                    v_state = returned_sqlstate,
                    v_table = table_name,
                    v_column = column_name,
                    v_rule = constraint_name;
        end;
    end loop;
    return concat_ws(
        ', ',
        v_state,
        nullif(v_table, ''),
        nullif(v_column, ''),
        nullif(v_rule, '')
    );
end
$$;

-- ======== schemas/turns/doubtful_in_turn.sql ========
-- Lock up to `most` texts in doubt whose next look for evidence has come, of the 4 × most that have
-- waited longest; who was looked for longest ago goes first. Locked rows are passed over.
--   without: businesses that have no turn
--   rows: by ctid, under their locks
--   served: the businesses, if more is due than was taken
--   next_at: when the next one is due
create or replace function smsretry.doubtful_in_turn(
    most integer,
    at timestamptz,
    without uuid[],
    out rows tid[],
    out served uuid[],
    out next_at timestamptz
)
language plpgsql set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_generic_plan set enable_sort = off
-- as smsretry.texts_in_turn
set enable_hashjoin = off set enable_mergejoin = off set jit = off as $$
#variable_conflict use_variable
declare
    v_oldest record;
begin
    select
        coalesce(array_agg(o.id order by o.scheduled_for, o.id), '{}') as ids,
        array_agg(o.business_id order by o.scheduled_for, o.id) as businesses
    into v_oldest
    from (
        select q.id, q.business_id, q.scheduled_for
        from public.sms_retry_queue q
        where q.work = 'doubtful'
          and q.scheduled_for <= at
          and q.business_id <> all (without)
        order by q.work, q.scheduled_for, q.id
        limit 4 * most
    ) o;
    select
        coalesce(array_agg(t.ctid), '{}'),
        array_agg(t.business_id)
    into rows, served
    from (
        select q.ctid, q.business_id
        from unnest(
            case
                when cardinality(v_oldest.ids) <= most then v_oldest.ids
                else smsretry.in_turn('doubtful', v_oldest.ids, v_oldest.businesses)
            end
        ) with ordinality as u (id, place)
        join public.sms_retry_queue q on q.id = u.id
        where q.work = 'doubtful' and q.scheduled_for <= at
        order by u.place
        limit most
        for update of q skip locked
    ) t;
    if cardinality(v_oldest.ids) <= cardinality(rows) then
        served := null;
    end if;
    next_at := (
        select q.scheduled_for
        from public.sms_retry_queue q
        where q.work = 'doubtful' and q.scheduled_for > at
        order by q.work, q.scheduled_for, q.id
        limit 1
    );
end
$$;

-- ======== schemas/turns/in_turn.sql ========
-- Put due work in the order of turns: who was served longest ago goes first, with what has waited
-- longest.
--   ids, businesses: of the work, the longest waiting first
create or replace function smsretry.in_turn(
    kind text,
    ids uuid[],
    businesses uuid[]
)
returns uuid[]
language plpgsql stable set search_path = pg_catalog, pg_temp
set enable_hashjoin = off set enable_mergejoin = off as $$
begin
    return (
        select coalesce(
            array_agg(w.id order by w.turn, w.served nulls first, w.business_id),
            '{}'
        )
        from (
            select
                u.id,
                u.business_id,
                t.served,
                row_number() over (
                    partition by u.business_id
                    order by u.place
                ) as turn
            from unnest(
                in_turn.ids,
                in_turn.businesses
            ) with ordinality as u (id, business_id, place)
            left join smsretry.turns t
                on t.kind = in_turn.kind and t.business_id = u.business_id
        ) w
    );
end
$$;

-- ======== schemas/turns/note_served.sql ========
-- Note that these businesses were served now, in this order. If another claim is noting its own at
-- this moment, this one notes nothing: it may wait for nobody, and its businesses only come to
-- their next turn a little sooner.
--   behind: where the next claim of texts looks
create or replace function smsretry.note_served(
    kind text,
    businesses uuid[],
    at timestamptz,
    behind uuid default null
)
returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    if note_served.businesses is not null
        and pg_try_advisory_xact_lock(
            hashtextextended('smsretry.turns ' || note_served.kind, 0)
        ) then
        insert into smsretry.turns (kind, business_id, served)
        select
            note_served.kind,
            u.id,
            note_served.at + max(u.place) * interval '1 microsecond'
        from unnest(note_served.businesses) with ordinality as u (id, place)
        where u.id is not null
        group by u.id
        on conflict on constraint turns_pkey
        do update set served = excluded.served;
        if note_served.behind is not null then
            delete from smsretry.turns t where t.kind = 'cursor';
            insert into smsretry.turns (kind, business_id, served)
            values ('cursor', note_served.behind, note_served.at);
        end if;
    end if;
end
$$;

-- ======== schemas/turns/texts_in_turn.sql ========
-- Lock up to `most` due texts: whose business was served longest ago goes first, and of its texts the
-- transactional ones. Locked rows are passed over.
-- The businesses whose texts have waited longest are looked at. If more is due than these texts, so
-- are as many others, in a ring: those behind where the last claim stopped looking. So nobody waits
-- behind another's backlog, and no claim looks at everybody.
-- A sender gives as many texts as it sends in half a second, so that threads do not wait for it. It
-- gives none while its slots are reserved, and any number if it is paused or has reached its cap,
-- because these are put off. A sender or a business that has stopped gives one text, which tries
-- it. While everybody has stopped, one text is taken in all, from a sender that has not stopped if
-- there is one.
--   default_sender: the sender of businesses that have none of their own
--   room: as in claim_sms_texts
--   rows: by ctid, under their locks
--   served: businesses that have had their turn, if more is due than was taken
--   behind: where the next claim looks; null: where this one did
--   next_at: when something is due that is not yet
create or replace function smsretry.texts_in_turn(
    most integer,
    at timestamptz,
    default_sender uuid,
    room jsonb,
    out rows tid[],
    out served uuid[],
    out behind uuid,
    out next_at timestamptz
)
language plpgsql set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_generic_plan
-- Without statistics a plan would read whole tables instead of the first rows of an index.
set enable_seqscan = off set enable_sort = off set enable_incremental_sort = off
set enable_hashjoin = off set enable_mergejoin = off set jit = off as $$
#variable_conflict use_variable
declare
    v_looks constant integer := 2 * greatest(most, 25); -- texts, and businesses of the ring
    v_businesses uuid[];
    v_due integer;
    v_stops constant text[] := array(select s.kind || s.subject from smsretry.stops s);
    v_next_slot timestamptz;
begin
    next_at := (
        select q.scheduled_for
        from public.sms_retry_queue q
        where q.work = 'texts' and q.scheduled_for > at
        order by q.work, q.scheduled_for, q.id
        limit 1
    );
    v_businesses := array(
        select q.business_id
        from public.sms_retry_queue q
        where q.work = 'texts' and q.scheduled_for <= at
        order by q.work, q.scheduled_for, q.id
        limit v_looks
    );
    v_due := cardinality(v_businesses);
    if v_due = 0 then
        return;
    elsif v_due = v_looks then -- perhaps more is
        v_businesses := v_businesses || array(
            with recursive ring (id) as (
                select (select t.business_id from smsretry.turns t where t.kind = 'cursor' limit 1)
                union -- who has been met ends it
                select coalesce(
                    (
                        select q.business_id
                        from public.sms_retry_queue q
                        where q.work = 'texts' and q.business_id > r.id
                        order by q.business_id
                        limit 1
                    ),
                    (
                        select q.business_id
                        from public.sms_retry_queue q
                        where q.work = 'texts'
                        order by q.business_id
                        limit 1
                    )
                )
                from ring r
            )
            select r.id
            from ring r
            limit v_looks
        );
        behind := v_businesses[cardinality(v_businesses)];
    end if;

    with
    -- What each business may send of a class, and how much of it its sender has room for; null: all.
    stream as materialized (
        select
            b.id as business_id,
            c.message_class,
            s.id as sender_id,
            s.free_at - interval '100 ms' as next_slot,
            least(
                (room ->> s.id::text)::integer,
                (room ->> b.id::text)::integer,
                case
                    when s.paused_at is not null
                      or s.day_segments >= s.segments_per_day and s.day_ends_at > at
                        then null
                    when s.free_at > at + interval '100 ms' then 0
                    when 'sender' || s.id = any (v_stops) then 1
                    when s.segments_per_second is not null
                        then greatest(s.segments_per_second / 2, 1)::integer
                end
            ) as room,
            'business' || b.id = any (v_stops) as is_tried,
            b.served
        from (
            select
                d.id,
                (
                    select t.served
                    from smsretry.turns t
                    where t.kind = 'texts' and t.business_id = d.id
                ) as served
            from (select distinct u.id from unnest(v_businesses) u (id)) d
            offset 0
        ) b
        cross join (values ('transactional'), ('marketing')) c (message_class)
        left join lateral (
            select x.*
            from smsretry.senders x
            where x.id = coalesce(
                (
                    select o.sender_id
                    from smsretry.own_senders o
                    where o.business_id = b.id and o.message_class = c.message_class
                ),
                default_sender
            )
            offset 0
        ) s
            on true
    ),
    -- How many texts of each are looked at: all if few are due, and otherwise enough.
    share as materialized (
        select
            case
                when behind is null then most
                else least(most, 1 + v_looks / (1 + count(distinct s.business_id)))
            end as texts
        from stream s
        where s.room is distinct from 0
    ),
    text as (
        select
            s.*,
            d.row,
            row_number() over (
                partition by s.business_id
                order by s.message_class desc, d.scheduled_for, d.id
            ) as turn
        from stream s
        cross join lateral (
            select q.ctid as row, q.scheduled_for, q.id
            from public.sms_retry_queue q
            where q.work = 'texts'
              and q.business_id = s.business_id
              and q.message_class = s.message_class
              and q.scheduled_for <= at
            order by q.scheduled_for, q.id
            limit (select h.texts from share h)
        ) d
        where s.room is distinct from 0
    ),
    -- How many go before it from the same sender.
    turn as (
        select
            t.*,
            row_number() over (
                partition by t.sender_id
                order by t.turn, t.is_tried, t.served nulls first, t.business_id
            ) as nth
        from text t
        where t.turn = 1 or not t.is_tried
    )
    select
        coalesce(array_agg(l.ctid), '{}'),
        array_agg(l.business_id),
        (select min(s.next_slot) from stream s where s.next_slot > at)
    into rows, served, v_next_slot
    from (
        select q.ctid, q.business_id
        from turn t
        join public.sms_retry_queue q on q.ctid = t.row
        where t.nth <= coalesce(t.room, t.nth)
          and q.work = 'texts'
          and q.scheduled_for <= at
        order by
            ('everybody' = any (v_stops) and t.room = 1) is true,
            t.turn,
            t.is_tried,
            t.served nulls first,
            t.business_id
        limit case when 'everybody' = any (v_stops) then least(most, 1) else most end
        for update of q skip locked
    ) l;
    next_at := least(next_at, v_next_slot);
    if behind is null and cardinality(rows) = v_due then
        served := null;
    end if;
end
$$;

-- ======== schemas/worker/accept_attempt.sql ========
-- Record that the provider has the message of this attempt. A row that waits for the answer is
-- completed; otherwise the send log is told, unless it has another message. The caller has locked
-- the row.
--   retry: the attempt's own row, or a newer one that is in doubt about it: the attempt becomes
--     that row's
--   sid: of the message; null: only its send log says that it was sent
--   k_first_look: after how long the first look at its delivery comes, because the provider's
--     callback mostly comes before
create or replace function smsretry.accept_attempt(
    retry public.sms_retry_queue,
    attempt_id uuid,
    sid text,
    settled_by text,
    at timestamptz
)
returns text
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    k_first_look constant interval := '5 minutes';
begin
    update public.sms_send_attempts a
    set
        outcome = 'accepted',
        finished_at = accept_attempt.at,
        settled_by = accept_attempt.settled_by,
        twilio_sid = accept_attempt.sid,
        error_code = null,
        sent_to = null,
        sent_body = null,
        delivery_ask_at = case
            when accept_attempt.sid is not null
                then accept_attempt.at + k_first_look
        end,
        retry_id = retry.id,
        claim_no = case
            when a.retry_id = retry.id then a.claim_no
            else retry.claim_no
        end
    where a.id = accept_attempt.attempt_id;
    if retry.status in ('pending', 'processing')
        and (
            retry.begun_at is null
            or retry.attempt_id = accept_attempt.attempt_id
        ) then
        perform smsretry.save_row(
            retry,
            accept_attempt.at,
            ended => 'completed',
            sid => accept_attempt.sid
        );
        return 'settled';
    end if;
    update public.send_logs l
    set
        status = 'sent',
        error_message = null,
        updated_at = accept_attempt.at,
        provider_message_id = jsonb_build_object('twilio_sid', accept_attempt.sid)
    where l.id = retry.send_log_id
      and smsretry.found_sid(l.provider_message_id) is null;
    return 'recorded';
end
$$;

-- ======== schemas/worker/analyze_filled.sql ========
-- Analyze tables that PostgreSQL takes for empty although they are not, or has never counted, as after
-- a restore. It analyzed them while many rows were inserted and not committed, and until it does so
-- again, each look-up would read whole tables. security definer: the tables are not the backend's.
create or replace function smsretry.analyze_filled()
returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    v_table regclass;
begin
    for v_table in
        select c.oid
        from pg_class c
        where c.relnamespace = 'public'::regnamespace
          and c.relname in (
              'businesses',
              'customers',
              'send_logs',
              'scheduled_sends',
              'sms_retry_queue',
              'sms_send_attempts'
          )
          and c.reltuples <= 0
          and pg_stat_get_live_tuples(c.oid) > 0
    loop
        execute format('analyze (skip_locked) %s', v_table);
    end loop;
exception
    when query_canceled or others then
        null; -- no run fails for it
end
$$;

-- ======== schemas/worker/begin_sms_attempt.sql ========
-- Decide, just before the request leaves, whether it may still go. The transaction that reads
-- consent and counts the number's texts also writes the attempt. Several begins, of any businesses,
-- share it, and one that fails is undone alone (group_sms_calls). May be repeated with the same
-- attempt_id. What happens to few texts (a mark, a refusal, a sender's limits) is asked of these alone.
-- Parameters that do not speak for themselves:
--   cap, cap_window: how many texts a number may get in how long; null: any number
--   life, expires_at: the text's end, unless the row has one: expires_at, or else its life from now
--   sent_account, sent_by: the sender that the request will name
--   segments, answer_seconds: smsretry.reserve_slot
--   send_to: whom the worker texts (all, listed, nobody; null: all)
--   listed: whether this text is for one of those
--   address: where the worker reaches the database (smsretry.mark)
-- It returns
--   answer:
--     go: it leaves at until, its slot of the sender; null: now
--     claim_lost: another worker has the row
--     data_changed: what the decision was made from is no longer so (fingerprint), or the text's send
--       log or customer is gone: decide again
--     run_unknown: the run is not on record, so the database may be another one than the run began
--       with: the next run looks
--     closed: send_before has come: decide again
--     daily_cap: the number has had cap texts within cap_window: there is room again at until, when
--       the cap-th last of them is that old (cap_reached_at)
--     sender_rate: the sender's slots are reserved until then
--     day_spent: the sender has reached its cap of a day: the next one begins at until, midnight
--       Pacific (reserve_slot)
--     held: smsretry.refusals names what can be mended, the worker and the mark disagree, or
--       another text tries at until what this one was refused for (smsretry.tried_by)
--     ended: the row is finished
--   why, why_code: the reason
--   decided_at: the database's time
--   until: see answer
--   refused_since: since when its sender is refused for what this text tries
create or replace function public.begin_sms_attempt(
    retry_id uuid,
    claim_no bigint,
    attempt_id uuid,
    send_before timestamptz,
    quiet_hours_rule text,
    first_send boolean default false,
    cap integer default null,
    cap_window interval default null,
    fingerprint text default null,
    life interval default null,
    expires_at timestamptz default null,
    run_id uuid default null,
    sent_account text default null,
    sent_by text default null,
    segments integer default 1,
    answer_seconds double precision default 0,
    send_to text default null,
    listed boolean default null,
    address text default null
)
returns table (
    answer text,
    why text,
    decided_at timestamptz,
    until timestamptz,
    why_code text,
    refused_since timestamptz
)
language plpgsql set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
    v_row public.sms_retry_queue;
    v_person record;
    v_claim smsretry.claimed_retry;
    v_asks record; -- what must be asked besides
    v_refused_for text; -- what it tries
begin
    if claim_no is null
        or attempt_id is null
        or send_before is null
        or cap is not null and cap_window is null
        or send_to not in ('all', 'listed', 'nobody')
    then
        raise exception 'claim_no, attempt_id and send_before must be given, cap_window with a cap, and send_to must be all, listed or nobody: without them nothing is checked'
            using errcode = 'SR422';
    end if;

    -- Is the row still this worker's?
    v_row := smsretry.fenced(retry_id, claim_no);
    if v_row.id is null
        or v_row.in_doubt_since is not null
        or v_row.begun_at is not null
    then
        -- No; or the answer to the same call was lost on its way, and is given again.
        select
            case q.status when 'cancelled' then 'ended' else 'go' end,
            case when q.begun_at is null then q.last_error end,
            a.leaves_at,
            q.why_code
        into answer, why, until, why_code
        from public.sms_retry_queue q
        left join public.sms_send_attempts a on a.id = q.attempt_id
        where q.id = retry_id
          and q.claim_no = begin_sms_attempt.claim_no
          and (
              q.status = 'cancelled'
              or q.attempt_id = attempt_id
          );
        answer := coalesce(answer, 'claim_lost');
        decided_at := smsretry.clock();
        return next;
        return;
    end if;

    -- `for share`: what else writes these rows is seen here or waits until this send is begun, and
    -- what finish could not write is not sent. A STOP waits for nobody: it is kept elsewhere first.
    select
        c.phone,
        c.sms_consent_status::text as consent_status,
        c.sms_consent_at as consent_at,
        c.sms_consent_source::text as consent_source
    into v_person
    from public.customers c
    cross join public.send_logs l
    where c.id = v_row.customer_id
      and l.id = v_row.send_log_id
      and (c.business_id, l.business_id) = (v_row.business_id, v_row.business_id)
      and l.channel = 'sms'
    for share;
    if not found then
        answer := 'data_changed'; -- deleted: the next decision says so
        decided_at := smsretry.clock();
        return next;
        return;
    end if;
    -- One at a time to a number, or two texts would each be counted without the other.
    perform pg_advisory_xact_lock(
        hashtextextended(v_row.business_id::text || coalesce(v_person.phone, ''), 0)
    );
    decided_at := smsretry.clock(); -- after these locks: waiting for them took time
    select
        r.id,
        r.business_id,
        r.customer_id,
        r.phone,
        r.body,
        r.log_says_sent,
        r.sms_consent_status,
        r.message_class,
        r.expires_at,
        r.fingerprint
    into
        v_claim.id,
        v_claim.business_id,
        v_claim.customer_id,
        v_claim.phone,
        v_claim.body,
        v_claim.log_says_sent,
        v_claim.sms_consent_status,
        v_claim.message_class,
        v_claim.expires_at,
        v_claim.fingerprint
    from smsretry.claimed_retry r
    where r.id = v_row.id;
    select
        run_id is null
            or exists (select from smsretry.runs r where r.id = run_id) as run_is_known,
        exists (select from smsretry.mark) as is_marked,
        exists (
            select from smsretry.senders s
            where s.account = sent_account
              and s.sent_by = begin_sms_attempt.sent_by
              and (
                  s.segments_per_second is not null
                  or s.segments_per_day is not null
                  or s.paused_at is not null
                  or s.free_at >= decided_at
              )
        ) as is_limited
    into v_asks;

    <<checks>>
    begin
        -- May it go to its customer?
        select
            case when r.refused_held then 'held' else 'ended' end,
            r.refused,
            r.refused_code
        into answer, why, why_code
        from smsretry.refusals(array[v_claim], decided_at) r
        where r.refused is not null;
        exit checks when answer is not null;
        -- May it go now?
        if decided_at >= send_before then
            answer := 'closed';
        elsif v_claim.fingerprint <> fingerprint then
            answer := 'data_changed';
        elsif not v_asks.run_is_known then
            answer := 'run_unknown';
        elsif cap is not null then
            until := cap_window + smsretry.cap_reached_at(
                v_row.business_id,
                v_person.phone,
                cap,
                decided_at - cap_window
            );
            answer := case when until is not null then 'daily_cap' end;
        end if;
        exit checks when answer is not null;

        -- Does this worker text whoever is not listed? Asked late, so that a staging copy shows
        -- what would have gone out, and when. Without send_to it texts all; listed null is not
        -- listed.
        if (v_asks.is_marked or send_to <> 'all')
            and (send_to = 'listed' and listed) is not true
        then
            why := smsretry.mark_mismatch(send_to, address);
            if why is not null then
                answer := 'held';
                why_code := 'mark_mismatch';
            elsif send_to <> 'all' then
                answer := 'ended';
                why := 'Not sent: it would have gone out now, but SMSRETRY_SEND_TO does not list its number';
                why_code := 'not_listed';
            end if;
            exit checks when answer is not null;
        end if;

        -- Was it refused for what a person must mend, and does another text try that? A person's
        -- word lets each one try.
        if v_row.error_code is not null
            and v_row.why_code is distinct from 'operator'
        then
            select t.refused_since, t.refused_for, t.until
            into refused_since, v_refused_for, until
            from smsretry.tried_by(v_row.id, sent_account, sent_by, decided_at) t;
            if until is not null then
                answer := 'held';
                why := v_row.last_error;
                why_code := 'destination_refused';
                until := least(until, v_row.expires_at, expires_at);
                exit checks;
            end if;
        end if;

        -- When is its sender free?
        answer := 'go';
        if v_asks.is_limited then
            select t.answer, t.until
            into answer, until
            from smsretry.reserve_slot(
                sent_account,
                sent_by,
                segments,
                answer_seconds,
                decided_at
            ) t;
        end if;
    end checks;

    -- kept where the row is saved: if the text goes or ends
    v_row.expires_at := coalesce(v_row.expires_at, expires_at, decided_at + life);
    if answer = 'ended' then
        perform smsretry.save_row(
            v_row,
            decided_at,
            ended => 'cancelled',
            why => why,
            why_code => why_code
        );
    elsif answer = 'go' then
        insert into public.sms_send_attempts (
            id,
            retry_id,
            attempt_number,
            claim_no,
            begun_at,
            consent_status,
            consent_at,
            consent_source,
            quiet_hours_rule,
            number_key,
            sent_to,
            sent_body,
            sent_by,
            run_id,
            sent_account,
            segments,
            business_id,
            leaves_at,
            refused_for
        )
        values (
            attempt_id,
            v_row.id,
            case when first_send then 0 else v_row.attempt_count + 1 end,
            v_row.claim_no,
            decided_at,
            left(v_person.consent_status, 40),
            v_person.consent_at,
            left(v_person.consent_source, 200),
            quiet_hours_rule,
            smsretry.number_key(v_row.business_id, v_person.phone),
            v_claim.phone,
            v_claim.body,
            sent_by,
            run_id,
            sent_account,
            segments,
            v_row.business_id,
            until,
            v_refused_for
        );
        if not found then
            raise exception 'its attempt was not kept: a rule or a trigger swallows it'
                using errcode = '23000';
        end if;
        v_row.attempt_id := attempt_id;
        v_row.why := null;
        v_row.why_code := null;
        v_row.held_since := null;
        v_row.recover_count := 0;
        v_row.begun_at := decided_at;
        v_row.last_attempted_at := decided_at;
        v_row.claimed_by_application := false;
        -- updated_at stays that of the claim, so that no index changes
        perform smsretry.save_row(v_row, v_row.updated_at);
    end if;
    return next;
end
$$;

-- ======== schemas/worker/cap_reached_at.sql ========
-- List when texts may have reached a number from a business after `since`, the newest first: sends
-- accepted, in doubt or under way, and the application's own.
create or replace function smsretry.texts_reached(
    business_id uuid,
    phone text,
    since timestamptz
)
returns setof timestamptz
language sql stable set search_path = pg_catalog, pg_temp as $$
    with person as materialized (
        select c.id
        from public.customers c
        -- is true: by the number's index alone
        where c.phone = texts_reached.phone
          and (c.business_id = texts_reached.business_id) is true
    ),
    reached (at) as (
        -- By number, because a customer who is deleted and imported again is the same person.
        select coalesce(a.finished_at, a.begun_at)
        from public.sms_send_attempts a
        where a.number_key = smsretry.number_key(
            texts_reached.business_id,
            texts_reached.phone
        )
          and coalesce(a.finished_at, a.begun_at) > texts_reached.since
          and coalesce(a.outcome, 'in_doubt') in ('accepted', 'in_doubt')
        union all
        select coalesce(l.updated_at, l.created_at)
        from person p
        join public.send_logs l on l.customer_id = p.id
        where coalesce(l.updated_at, l.created_at) > texts_reached.since
          and l.channel = 'sms'
          and smsretry.is_sent(l.provider_message_id, l.status::text)
          and not exists (
              select from public.sms_retry_queue q
              join public.sms_send_attempts a on a.retry_id = q.id
              where q.send_log_id = l.id
                and coalesce(a.outcome, 'in_doubt') in ('accepted', 'in_doubt')
          )
    )
    select r.at
    from reached r
    order by r.at desc
$$;

-- Tell when a number reached its cap: the time of the cap-th newest text after `since`
-- (smsretry.texts_reached). Null: there is room.
create or replace function smsretry.cap_reached_at(
    business_id uuid,
    phone text,
    cap integer,
    since timestamptz
)
returns timestamptz
language sql set search_path = pg_catalog, pg_temp as $$
    select t
    from smsretry.texts_reached(business_id, phone, since) t
    offset greatest(cap, 1) - 1
    limit 1
$$;

-- ======== schemas/worker/claim_due_sms_retries.sql ========
-- Claim up to limit_count due rows (smsretry.rows_of_claim) for the application's own processor,
-- neither doubtful nor suspect ones; who was served longest ago goes first. The processor begins
-- nothing: if it dies, its claim counts as a send that may have been made. So what a begin would ask
-- is asked here (smsretry.refusals), and what may not go ends or waits. What may have gone out before
-- a restore is given to it all the same: after a restore, only begun sends are looked for first.
create or replace function public.claim_due_sms_retries(
    limit_count integer default null
)
returns setof smsretry.claimed_retry
language plpgsql set search_path = pg_catalog, pg_temp
-- As on Supabase: a claim whose caller has given up would keep its rows.
set statement_timeout = '8s' as $$
declare
    v_now constant timestamptz := smsretry.clock();
    v_texts record;
    v_claims smsretry.claimed_retry[];
    v_refusal record;
    v_row public.sms_retry_queue;
    v_taken uuid[];
begin
    select *
    into v_texts
    from smsretry.texts_in_turn(
        smsretry.rows_of_claim(limit_count),
        v_now,
        null,
        (
            select jsonb_object_agg(s.subject, 0)
            from smsretry.stops s
            where s.kind = 'business_stopped'
        )
    );
    v_claims := array(
        select r
        from smsretry.claimed_retry r
        join public.sms_retry_queue q on q.id = r.id
        where q.ctid = any (v_texts.rows) and r.customer_found
    );
    for v_refusal in
        select t.id, t.refused, t.refused_code, t.refused_held
        from rows from (unnest(v_claims), smsretry.refusals(v_claims, v_now)) t
        where t.refused is not null
    loop
        select *
        into v_row
        from public.sms_retry_queue q
        where q.id = v_refusal.id;
        if v_refusal.refused_held then
            v_row.held_since := coalesce(v_row.held_since, v_now);
            v_row.why := v_refusal.refused;
            v_row.why_code := v_refusal.refused_code;
            perform smsretry.save_row(v_row, v_now, due => v_now + smsretry.retry_delay(2));
        else
            perform smsretry.save_row(
                v_row,
                v_now,
                ended => 'cancelled',
                why => v_refusal.refused,
                why_code => v_refusal.refused_code
            );
        end if;
    end loop;
    -- A row that was refused has another ctid now; the others have kept theirs.
    v_taken := (
        select t.taken
        from smsretry.claim_rows(
            array(
                select q.ctid
                from public.sms_retry_queue q
                where q.ctid = any (v_texts.rows)
            ),
            v_now,
            true
        ) t
    );
    perform smsretry.note_served('texts', v_texts.served, v_now, v_texts.behind);
    return query
    select r.*
    from smsretry.claimed_retry r
    where r.id = any (v_taken)
    order by r.scheduled_for, r.id;
end
$$;

-- ======== schemas/worker/claim_of.sql ========
-- Write a claim as JSON for a worker: the texts, and once whatever concerns them all.
--   texts: rows of smsretry.claimed_retry
--   default_sender: the sender of texts that name none (account and sender name it)
--   stops: those of smsretry.stops that concern the texts; each is tried with one text
--   stopped_states: where no marketing text may go
--   longest_body: how much of a body is returned; a longer one was cut
--   next_in: seconds until something else is due that can be claimed; null: nothing is
create or replace function smsretry.claim_of(
    ids uuid[],
    account text,
    sender text,
    at timestamptz,
    next_at timestamptz default null
)
returns jsonb
language plpgsql stable set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_generic_plan
-- Rows by their ids, whatever the statistics are.
set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off
set jit = off as $$
declare
    v_texts jsonb := '[]';
    v_default_sender jsonb;
    v_stops jsonb := '[]';
begin
    if cardinality(claim_of.ids) > 0 then
        v_default_sender := (
            select s.sender
            from smsretry.claim_senders s
            where s.account = claim_of.account
              and s.sent_by = claim_of.sender
        );
        v_texts := (
            select coalesce(
                jsonb_agg(to_jsonb(r) order by r.scheduled_for, r.id),
                '[]'
            )
            from smsretry.claimed_retry r
            where r.id = any (claim_of.ids)
        );
        v_stops := (
            select coalesce(jsonb_agg(jsonb_build_array(s.kind, s.subject)), '[]')
            from smsretry.stops s
            where s.kind = 'everybody'
              or s.subject in (
                  select t.value ->> 'business_id'
                  from jsonb_array_elements(v_texts) t
                  union all
                  select coalesce(
                      nullif(t.value -> 'sender', 'null'),
                      v_default_sender
                  ) ->> 'id'
                  from jsonb_array_elements(v_texts) t
              )
        );
    end if;
    return jsonb_build_object(
        'texts', v_texts,
        'default_sender', v_default_sender,
        'longest_body', smsretry.longest_body(),
        'stops', v_stops,
        'stopped_states', (
            select coalesce(to_jsonb(s.states), '[]')
            from smsretry.stopped_states s
        ),
        'next_in', case
            when claim_of.next_at is not null
                then extract(
                    epoch from greatest(claim_of.next_at - claim_of.at, interval '0')
                )
        end
    );
end
$$;

-- ======== schemas/worker/claim_rows.sql ========
-- Claim these rows, which the caller has locked: due ones with `skip locked`, or one by its id, due
-- or not, for whose lock it waits (claim_sms_retry). Only service_role may call those callers
-- (rights/backend.sql). If the rows cannot be taken together, each is tried by itself: one that is
-- refused stays as it is.
--   rows: by ctid; a row that this transaction has locked moves by its own writes alone
--   by_application: its claimer begins no sends
--   alone: what refuses is raised
--   taken: their ids; null: the one row took all the time of the call
--   refused: the database's words, if it refused each row
create or replace function smsretry.claim_rows(
    rows tid[],
    at timestamptz,
    by_application boolean default false,
    alone boolean default false,
    out taken uuid[],
    out refused text
)
language plpgsql set search_path = pg_catalog, pg_temp
-- A trigger may wait for a lock.
set lock_timeout = '500ms' set enable_hashjoin = off set enable_mergejoin = off
as $$
declare
    v_restores constant bigint := (select count(*) from smsretry.restores);
    -- Above what a worker from before a restore holds: more than a text was ever claimed.
    v_least_claim_no constant bigint := 1000000 * v_restores;
    v_ids uuid[];
    v_detail text;
begin
    taken := '{}';
    -- at first all together, and then each
    for v_try in 0 .. coalesce(cardinality(claim_rows.rows), 0) loop
        begin
            with claimed as (
                update public.sms_retry_queue q
                set
                    status = 'processing',
                    claim_no = greatest(q.claim_no, v_least_claim_no) + 1,
                    claimed_at = claim_rows.at,
                    begun_at = null,
                    claimed_by_application = claim_rows.by_application
                        or q.claimed_by_application and q.in_doubt_since is not null,
                    attempt_id = case
                        when q.in_doubt_since is not null then q.attempt_id
                    end,
                    updated_at = claim_rows.at
                where q.ctid = any (
                    case v_try
                        when 0 then claim_rows.rows
                        else claim_rows.rows[v_try : v_try]
                    end
                )
                  and q.status = 'pending' -- a later trigger may leave another word in work
                returning q.id
            )
            select array_agg(t.id)
            into v_ids
            from claimed t;
            if v_restores > 0 and not by_application then
                perform smsretry.doubt_forgotten(v_ids, claim_rows.at);
            end if;
            set constraints all immediate; -- a deferred check would undo the others, too
            taken := taken || v_ids;
            refused := null;
            exit when v_try = 0;
        exception
            when query_canceled then
                if alone or cardinality(claim_rows.rows) > 1 then
                    raise; -- no time is left: its caller claims one at a time
                end if;
                taken := null;
                return;
            when others then
                if alone then
                    raise;
                end if;
                get stacked diagnostics v_detail = pg_exception_detail;
                refused := case
                    -- a lock: the next claim tries again
                    when sqlstate in ('55P03', '40P01') then null
                    -- its detail would quote the row
                    when sqlstate like '23%' or v_detail = '' then sqlerrm
                    else sqlerrm || ': ' || v_detail
                end;
                raise warning 'A row could not be claimed: %', sqlstate;
        end;
    end loop;
    refused := case
        when taken = '{}' then left(smsretry.numberless(refused), 300)
    end;
end
$$;

-- ======== schemas/worker/claim_sms_retry.sql ========
-- Claim one pending row by its id, due or not, for the caller who has just queued it. Returns what
-- claim_sms_texts does; without a text the row is not pending, or is in doubt. Raises if it cannot
-- be claimed.
create or replace function public.claim_sms_retry(
    retry_id uuid,
    account text default null,
    sender text default null
)
returns jsonb
language plpgsql set search_path = pg_catalog, pg_temp
as $$
declare
    v_now constant timestamptz := smsretry.clock();
    v_rows constant tid[] := array(
        select q.ctid
        from public.sms_retry_queue q
        where q.id = claim_sms_retry.retry_id
          -- is true: by its id alone; with old statistics an index of all that waits is walked
          and (
              q.status = 'pending' and q.in_doubt_since is null
          ) is true
        for update
    );
    v_taken uuid[];
begin
    -- A statement of its own: what follows reads the rows as they are then.
    v_taken := (select t.taken from smsretry.claim_rows(v_rows, v_now, alone => true) t);
    return smsretry.claim_of(v_taken, account, sender, v_now);
end
$$;

-- ======== schemas/worker/claim_sms_texts.sql ========
-- Claim up to limit_count due texts for a worker (smsretry.rows_of_claim), and as many in doubt
-- whose next look has come. Whoever was served longest ago goes first (smsretry.texts_in_turn).
-- Claims and begins cannot lock each other out. A claim waits for no row (skip locked), and takes
-- only pending ones: a begin holds its own row, which is processing. Begins wait for each other, for
-- a number, a customer or a sender, and those of a group in the order of lock_order
-- (group_sms_calls): two groups never wait crosswise.
-- Returns what smsretry.claim_of says, and refused and slow.
--   account, sender: the default sender, for every business without its own
--   room: the most due texts that are claimed, by the id of a sender; 0 also by that of a business
--   suspect: claim one suspect row instead, or none; the one whose claims died least often goes
--     first
--   slow: the parameter: businesses of which neither due texts nor texts in doubt are claimed. The
--     answer: with limit_count 1, the business of the row that took all the time of the call,
--     perhaps by a trigger
--   refused: what the database said, if it refused each row
create or replace function public.claim_sms_texts(
    limit_count integer,
    account text default null,
    sender text default null,
    room jsonb default '{}',
    suspect boolean default false,
    slow uuid[] default '{}'
)
returns jsonb
language plpgsql set search_path = pg_catalog, pg_temp
set statement_timeout = '8s' as $$ -- as claim_due_sms_retries
#variable_conflict use_variable
declare
    v_now constant timestamptz := smsretry.clock();
    v_limit constant integer := smsretry.rows_of_claim(limit_count);
    v_doubtful record;
    v_texts record;
    v_rows tid[];
    v_taken uuid[] := '{}';
    v_refused text;
    v_next timestamptz;
begin
    if suspect then
        for v_rows in
            select array[q.ctid]
            from public.sms_retry_queue q
            where q.work = 'suspect'
              and q.scheduled_for <= v_now
              and q.business_id <> all (slow)
            order by q.recover_count, q.scheduled_for
            limit 50
            for update skip locked
        loop
            select t.taken, t.refused
            into v_taken, v_refused
            from smsretry.claim_rows(v_rows, v_now) t;
            exit when v_taken is distinct from '{}';
        end loop;
    else
        select *
        into v_doubtful
        from smsretry.doubtful_in_turn(v_limit, v_now, slow);
        select *
        into v_texts
        from smsretry.texts_in_turn(
            -- Alone, so that a row which takes all the time is known.
            case
                when limit_count = 1 and v_doubtful.rows <> '{}' then 0
                else v_limit
            end,
            v_now,
            (
                select s.id
                from smsretry.senders s
                where s.account = claim_sms_texts.account
                  and s.sent_by = sender
            ),
            room || (
                select coalesce(jsonb_object_agg(b.id, 0), '{}')
                from unnest(slow) b (id)
            )
        );
        v_rows := v_doubtful.rows || v_texts.rows;
        v_next := least(v_texts.next_at, v_doubtful.next_at);
        if v_rows <> '{}' then
            select t.taken, t.refused
            into v_taken, v_refused
            from smsretry.claim_rows(v_rows, v_now) t;
            -- Whose texts could not be taken has had its turn, so that they are not tried again and
            -- again. They have kept their ctids.
            if cardinality(v_taken) < cardinality(v_rows) then
                v_texts.served := v_texts.served
                    || array(
                        select q.business_id
                        from public.sms_retry_queue q
                        where q.ctid = any (v_texts.rows)
                    );
            end if;
            perform smsretry.note_served('doubtful', v_doubtful.served, v_now);
        end if;
        perform smsretry.note_served(
            'texts',
            v_texts.served,
            v_now,
            v_texts.behind
        );
    end if;
    return smsretry.claim_of(v_taken, account, sender, v_now, v_next)
        || jsonb_build_object(
            'refused', v_refused,
            'slow', case
                when v_taken is null -- the row took all the time
                    then (
                        select q.business_id
                        from public.sms_retry_queue q
                        where q.ctid = any (v_rows)
                    )
            end
        );
end
$$;

-- ======== schemas/worker/defer_sms_retry.sql ========
-- Put a claimed row back to pending for a reason that is no failure; it costs no attempt. False:
-- the claim was lost. May be repeated.
--   due_at, due_in: when it is due, or how long from now
--   held: it waits for something that a person can mend; why says what
--   expires_at, life: when the text is of no more use, or how long from now, if no earlier call has
--     said so
create or replace function public.defer_sms_retry(
    retry_id uuid,
    claim_no bigint,
    due_at timestamptz default null,
    reason text default null,
    why text default null,
    life interval default null,
    expires_at timestamptz default null,
    why_code text default null,
    due_in interval default null,
    held boolean default false
)
returns boolean
language plpgsql set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
    v_row public.sms_retry_queue;
    v_now timestamptz;
begin
    if num_nonnulls(due_at, due_in) <> 1
        or held and why is null
    then
        raise exception 'due_at or due_in must be given, and why if it is held: a deferred row needs a time'
            using errcode = 'SR422';
    end if;
    v_row := smsretry.fenced(retry_id, claim_no);
    v_now := smsretry.clock();
    if v_row.id is not null and v_row.begun_at is null then
        v_row.reason := coalesce(reason, v_row.reason);
        v_row.why := why;
        v_row.why_code := why_code;
        v_row.held_since := case
            when held then coalesce(v_row.held_since, v_now)
        end;
        v_row.expires_at := coalesce(v_row.expires_at, expires_at, v_now + life);
        perform smsretry.save_row(
            v_row,
            v_now,
            due => coalesce(due_at, v_now + due_in)
        );
        return true;
    end if;
    return exists (
        -- the answer to the same call was lost on its way
        select from public.sms_retry_queue q
        where q.id = retry_id
          and q.status = 'pending'
          and q.claim_no = defer_sms_retry.claim_no
          and case
              when held then q.held_since is not null
              else q.scheduled_for = coalesce(due_at, q.scheduled_for)
          end
    );
end
$$;

-- ======== schemas/worker/end_sms_retry.sql ========
-- End a claimed row whose send never began: failed (it cannot be sent) or cancelled (it is no
-- longer wanted). False: the claim was lost. May be repeated.
create or replace function public.end_sms_retry(
    retry_id uuid,
    claim_no bigint,
    final_status text,
    why text,
    error_code integer default null,
    why_code text default null
)
returns boolean
language plpgsql set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
    v_row public.sms_retry_queue;
begin
    if (final_status in ('failed', 'cancelled')) is not true
        or why is null
    then
        raise exception 'A row ends failed or cancelled, with a reason'
            using errcode = 'SR422';
    end if;
    v_row := smsretry.fenced(retry_id, claim_no);
    if v_row.id is not null and v_row.begun_at is null then
        perform smsretry.save_row(
            v_row,
            smsretry.clock(),
            ended => final_status,
            why => why,
            why_code => why_code,
            code => error_code
        );
        return true;
    end if;
    return exists (
        -- the answer to the same call was lost on its way
        select from public.sms_retry_queue q
        where q.id = retry_id
          and q.status = final_status
          and q.claim_no = end_sms_retry.claim_no
          and q.last_error = why
    );
end
$$;

-- ======== schemas/worker/fenced.sql ========
-- Lock a row and return it, if its worker still has it under this claim number; otherwise null.
-- This is the fence: every write of a worker begins here. A lock is waited for as long as a group
-- says (smsretry.wait: group_sms_calls), or two seconds: if a long transaction holds the customer
-- or the send log, this text waits, and not the worker. Callers assign the answer and do not select
-- from it: a call that waits here while a migration adds a column then goes on with the new row
-- type instead of failing.
create or replace function smsretry.fenced(retry_id uuid, claim_no bigint)
returns public.sms_retry_queue
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    v_row public.sms_retry_queue;
begin
    perform set_config(
        'lock_timeout',
        coalesce(nullif(current_setting('smsretry.wait', true), ''), '2s'),
        true
    );
    select q.*
    into v_row
    from public.sms_retry_queue q
    where q.id = fenced.retry_id
      and q.status = 'processing'
      and q.claim_no = fenced.claim_no
    for update;
    return v_row;
end
$$;

-- ======== schemas/worker/finish_sms_attempt.sql ========
-- Record the outcome of a begun send, and where its row goes: attempt, row and send log in one
-- transaction. A repeated call changes nothing.
--   outcome, next_status: accepted and completed; rejected or not_sent, and pending or failed;
--     in_doubt and pending
--   due_in: when a pending row is due
--   counted: whether the send costs an attempt
--   held: whether it waits for something that a person can mend, which why says
--   refused_for: what that is, if one text of its sender tries it for all (smsretry.tried_by)
--   applied: false: the claim was lost
create or replace function public.finish_sms_attempt(
    retry_id uuid,
    claim_no bigint,
    attempt_id uuid,
    outcome text,
    next_status text,
    why text default null,
    error_code integer default null,
    twilio_sid text default null,
    due_in interval default null,
    reason text default null,
    counted boolean default true,
    held boolean default false,
    why_code text default null,
    refused_for text default null
)
returns table (
    applied boolean,
    status text,
    scheduled_for timestamptz,
    attempt_count integer
)
language plpgsql set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
    v_doubt constant boolean := outcome = 'in_doubt';
    v_settled_by constant text := case when not v_doubt then 'response' end;
    v_now timestamptz;
    v_row public.sms_retry_queue;
    v_attempt public.sms_send_attempts;
begin
    if (
        (outcome, next_status) in (
            ('accepted', 'completed'),
            ('rejected', 'pending'),
            ('rejected', 'failed'),
            ('not_sent', 'pending'),
            ('not_sent', 'failed'),
            ('in_doubt', 'pending')
        )
    ) is not true
        or next_status = 'pending' and due_in is null
        or next_status <> 'completed'
            and (why is null or twilio_sid is not null)
    then
        raise exception 'A send whose outcome is % cannot leave its row % (pending needs due_in; what did not go out why, and no SID)',
            outcome,
            next_status
            using errcode = 'SR422';
    end if;
    v_row := smsretry.fenced(retry_id, claim_no);
    v_now := smsretry.clock();
    applied := coalesce(
        v_row.begun_at is not null
        and v_row.attempt_id = attempt_id,
        false
    );

    if applied then
        select *
        into v_attempt
        from public.sms_send_attempts a
        where a.id = attempt_id;
        v_row.attempt_count := greatest( -- passes over null
            v_row.attempt_count,
            case when counted then v_attempt.attempt_number end
        );
        v_row.reason := coalesce(reason, v_row.reason);
        if outcome = 'accepted' then
            perform smsretry.accept_attempt(
                v_row,
                attempt_id,
                twilio_sid,
                v_settled_by,
                v_now
            );
            if v_attempt.refused_for is not null then
                perform smsretry.try_release('{destination_refused}');
            end if;
        else
            update public.sms_send_attempts a
            set
                finished_at = v_now,
                outcome = finish_sms_attempt.outcome,
                error_code = finish_sms_attempt.error_code,
                settled_by = v_settled_by,
                refused_for = finish_sms_attempt.refused_for,
                sent_to = case when v_doubt then a.sent_to end,
                sent_body = case when v_doubt then a.sent_body end
            where a.id = attempt_id;
            if not v_doubt then
                -- What did not go out took nothing of its sender's day, which is given back while
                -- that day lasts.
                update smsretry.senders s
                set day_segments = greatest(s.day_segments - v_attempt.segments, 0)
                where s.account = v_attempt.sent_account
                  and s.sent_by = v_attempt.sent_by
                  and s.day_ends_at = smsretry.carriers_midnight(
                      v_attempt.begun_at
                  );
            end if;
            v_row.last_error := why;
            v_row.why_code := why_code;
            v_row.error_code := error_code;
            v_row.why := case when held then why end;
            v_row.held_since := case when held then v_now end;
            v_row.attempt_id := case when v_doubt then v_row.attempt_id end;
            v_row.in_doubt_since := case when v_doubt then v_now end;
            if next_status = 'failed' then
                perform smsretry.save_row(
                    v_row,
                    v_now,
                    ended => 'failed',
                    why => why,
                    why_code => why_code,
                    code => error_code
                );
            else
                perform smsretry.save_row(v_row, v_now, due => v_now + due_in);
            end if;
        end if;
    else
        -- Applied before: the answer to the same call was lost, or the provider's callback was
        -- faster.
        applied := exists (
            select from public.sms_send_attempts a
            where a.id = attempt_id
              and a.retry_id = finish_sms_attempt.retry_id
              and a.claim_no = finish_sms_attempt.claim_no
              and (
                  a.settled_by = 'callback'
                  or a.outcome = finish_sms_attempt.outcome
                      and a.settled_by is not distinct from v_settled_by
              )
        );
    end if;
    select q.status, q.scheduled_for, q.attempt_count
    into status, scheduled_for, attempt_count
    from public.sms_retry_queue q
    where q.id = retry_id;
    return next;
end
$$;

-- ======== schemas/worker/finish_sms_run.sql ========
-- Record that a run is done. False: the run is unknown. May be repeated. Then customers whose rows
-- do not say yet what was said of them are marked, for two seconds.
--   summary: its numbers, for people
create or replace function public.finish_sms_run(
    run_id uuid,
    summary text,
    needs_attention boolean default false
)
returns boolean
language plpgsql set search_path = pg_catalog, pg_temp
as $$
declare
    v_is_known boolean;
begin
    update smsretry.runs r
    set
        finished_at = smsretry.clock(),
        summary = left(coalesce(finish_sms_run.summary, ''), smsretry.longest_reason()),
        needs_attention = coalesce(finish_sms_run.needs_attention, false)
    where r.id = finish_sms_run.run_id;
    v_is_known := found;
    perform smsretry.write_consent(
        array(
            select w.id
            from smsretry.consents w
            where w.mark_at <= smsretry.clock()
            order by w.mark_at
            limit 1000
        )
    );
    return v_is_known;
end
$$;

-- ======== schemas/worker/group_call.sql ========
-- Write smsretry.group_call, which makes one call of a group. Its text comes from the functions'
-- parameters and defaults, so that PostgreSQL plans each call once. A migration that changes a
-- parameter runs this, too. A branch, here of end_sms_retry, has a line for each parameter:
--   when 'end_sms_retry' then return (select to_jsonb(f) from public.end_sms_retry(
--     case when arguments ? 'retry_id' then (arguments ->> 'retry_id')::uuid else null end, …) f);
do $do$
begin
    execute (
        select format(
            $f$
create or replace function smsretry.group_call(function text, arguments jsonb)
returns jsonb
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    case function%s
    else
        raise exception 'There is no call %% in a group', function
            using errcode = 'SR422';
    end case;
end
$$
            $f$,
            string_agg(
                format(
                    E'\n    when %1$L then\n        return (select to_jsonb(f) from public.%1$I(%2$s) f);',
                    p.proname,
                    a.list
                ),
                ''
                order by p.proname
            )
        )
        from pg_proc p
        cross join lateral (
            select string_agg(
                format(
                    'case when arguments ? %1$L then (arguments ->> %1$L)::%2$s else %3$s end',
                    n.name,
                    n.type::regtype,
                    coalesce(
                        pg_get_function_arg_default(p.oid, n.place::integer),
                        'null'
                    )
                ),
                ', '
                order by n.place
            ) as list
            from unnest(p.proargnames, p.proargtypes::oid[])
                with ordinality n (name, type, place)
            where n.type is not null
        ) a
        where p.pronamespace = 'public'::regnamespace
          and p.proname in (
              'begin_sms_attempt',
              'finish_sms_attempt',
              'defer_sms_retry',
              'end_sms_retry'
          )
    );
end
$do$;

-- ======== schemas/worker/group_sms_calls.sql ========
-- Make a worker's begin, finish, defer and end calls as one transaction. One that fails is undone
-- alone. May be repeated, as each of them may. A group has a second, so that the database never
-- works for a caller who has given up. A call that takes longer (a trigger that sleeps) is
-- cancelled alone: PostgREST applies statement_timeout to the whole call (db-hoisted-tx-settings,
-- since 12.2; https://docs.postgrest.org/en/v13/references/transactions.html#function-settings). A
-- locked row is waited for half a second once in a group, and then hardly at all.
--   calls: an array of objects:
--     function: its name
--     values: its parameters by name; one that is missing has its default
--     lock_order: calls are made in this order, so that two groups do not deadlock
-- It returns an array with an object for each call that was made. A call that is missing there was
-- not made, because no time was left:
--   place: of the call in calls, from 1
--   answer: the function's answer; or, if it failed:
--   code, message, hint: its error
create or replace function public.group_sms_calls(calls jsonb)
returns jsonb
language plpgsql set search_path = pg_catalog, pg_temp
set statement_timeout = '2s' as $$
declare
    v_until constant timestamptz := clock_timestamp() + interval '1 second';
    v_call record;
    v_code text;
    v_message text;
    v_hint text;
    v_answer jsonb;
    v_answers jsonb := '[]';
begin
    if (
        jsonb_typeof(group_sms_calls.calls) = 'array'
        and jsonb_array_length(group_sms_calls.calls) between 1 and 100
    ) is not true
    then
        raise exception 'calls must be an array of 1 to 100 calls'
            using errcode = 'SR422';
    end if;
    perform set_config('smsretry.wait', '500ms', true);
    for v_call in
        select c.value, c.ordinality::integer as place
        from jsonb_array_elements(group_sms_calls.calls) with ordinality c
        order by c.value ->> 'lock_order', c.ordinality
    loop
        v_code := null;
        begin
            set constraints all deferred; -- as in a transaction of the call's own
            v_answer := smsretry.group_call(
                v_call.value ->> 'function',
                v_call.value -> 'values'
            );
            v_answer := jsonb_build_object('answer', v_answer);
            set constraints all immediate; -- a deferred check would undo the others, too
        exception
            when query_canceled or others then
                get stacked diagnostics
                    v_code = returned_sqlstate,
                    v_message = message_text,
                    v_hint = pg_exception_hint;
                v_answer := jsonb_build_object(
                    'code', v_code,
                    'message', v_message,
                    'hint', v_hint
                );
                if v_code = '55P03' then
                    perform set_config('smsretry.wait', '10ms', true);
                end if;
        end;
        v_answers := v_answers
            || (v_answer || jsonb_build_object('place', v_call.place));
        -- the time is over and is not counted again: nothing more is begun
        exit when v_code = '57014'
            or clock_timestamp() > v_until;
    end loop;
    return v_answers;
end
$$;

-- ======== schemas/worker/record_restore.sql ========
-- Record that the database was restored from a backup. What went out after that was taken looks
-- unsent. So the next claim of each older text looks for it at the provider, and has a number that no
-- worker from before the restore holds (smsretry.claim_rows). False: it is on record already.
--   since: when the backup was taken
--   run_id: the run that the database had forgotten; null: a person says so
create or replace function smsretry.record_restore(
    since timestamptz,
    who text,
    because text,
    run_id uuid default null
)
returns boolean
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    v_now constant timestamptz := smsretry.clock();
begin
    insert into smsretry.restores (since, restored_at, run_id, who, because)
    values (
        record_restore.since,
        v_now,
        record_restore.run_id,
        record_restore.who,
        record_restore.because
    )
    on conflict
    do nothing;
    if not found then
        return false;
    end if;
    update public.sms_retry_queue q -- its message may be one of the time that is forgotten
    set
        in_doubt_since = v_now,
        reconcile_count = 0,
        held_since = null,
        scheduled_for = v_now,
        updated_at = v_now
    where q.status = 'pending' and q.in_doubt_since is not null;
    return true;
end
$$;

-- ======== schemas/worker/recover_stuck_sms_retries.sql ========
-- Take back the rows whose worker has been silent for stale_minutes, and return them as they are
-- now. None is failed here. The application calls this with stale_minutes alone.
-- A row that was begun, or claimed by a caller that does not begin, is in doubt, because its text
-- may have gone out. A row in doubt stays so. Any other is pending again, at no cost. A suspect
-- row, in doubt or not, is claimed alone; one that is not in doubt ever less often.
--   due_in: when a row in doubt is looked at; null: at once
--   life: how long a text is of use from a claim that counts as its first send; null: its first
--     look says so
create or replace function public.recover_stuck_sms_retries(
    stale_minutes integer default 10,
    due_in interval default null,
    life interval default null
)
returns setof public.sms_retry_queue
language plpgsql set search_path = pg_catalog, pg_temp
set statement_timeout = '8s' as $$ -- as claim_due_sms_retries
declare
    k_suspect constant integer := 2; -- the column sms_retry_queue.work goes by it, too
    v_now constant timestamptz := smsretry.clock();
    v_until constant timestamptz := clock_timestamp() + interval '3 seconds';
    v_row public.sms_retry_queue;
    v_due timestamptz;
    v_begun_at timestamptz;
begin
    if stale_minutes is null or stale_minutes < 1 then
        raise exception 'stale_minutes must be 1 or more, not %', stale_minutes
            using errcode = 'SR422',
                  hint = 'It must outlast the slowest send, or live workers lose their claims.';
    end if;
    for v_row in
        select *
        from public.sms_retry_queue q
        where q.work = 'under_way'
          and (
              greatest(
                  q.claimed_at,
                  q.begun_at
              ) <= v_now - make_interval(mins => stale_minutes)
              -- Claimed while the clock was ahead: its lease would last until then.
              or greatest(
                  q.claimed_at,
                  q.begun_at
              ) > v_now + make_interval(mins => stale_minutes)
          )
        order by random() -- one that takes all the time does not come first each time
        limit smsretry.rows_of_claim(1000)
        for update skip locked
    loop
        exit when clock_timestamp() > v_until; -- the next run takes the rest
        begin
            v_due := v_now + coalesce(due_in, interval '0');
            if v_row.claimed_by_application
                and v_row.begun_at is null
                and v_row.in_doubt_since is null
            then
                -- adopted, it began at some moment after its last try
                v_begun_at := least(
                    v_row.claimed_at,
                    case v_row.claim_no when 1 then v_row.last_attempted_at end
                );
                v_row.attempt_id := smsretry.presume_send(v_row, v_begun_at, v_now);
                if v_row.attempt_id is not null then
                    v_row.begun_at := v_begun_at;
                end if;
            end if;
            if v_row.begun_at is not null then
                update public.sms_send_attempts a
                set
                    finished_at = v_now,
                    outcome = 'in_doubt',
                    worker_died = true
                where a.id = v_row.attempt_id and a.finished_at is null;
                v_row.in_doubt_since := v_now;
                v_row.expires_at := coalesce(
                    v_row.expires_at,
                    least(v_row.claimed_at, v_now) + life
                );
                v_row.attempt_count := greatest(
                    v_row.attempt_count,
                    (
                        select a.attempt_number
                        from public.sms_send_attempts a
                        where a.id = v_row.attempt_id
                    )
                );
                v_row.last_error := 'The worker died after the send began: it is unknown whether the text went out';
                v_row.error_code := null;
                v_row.why_code := 'worker_died';
            else
                -- Without a limit: a text that was never tried, or is in doubt, is never failed
                -- because workers died.
                v_row.recover_count := v_row.recover_count + 1;
                if v_row.in_doubt_since is null then
                    v_due := v_row.scheduled_for;
                    if v_row.recover_count >= k_suspect then
                        v_due := v_now + make_interval(
                            mins => least(v_row.recover_count - k_suspect, 15)
                        );
                        v_row.why_code := 'worker_died';
                        v_row.why := 'Its worker died ' || v_row.recover_count
                            || ' times before the send began: it is claimed alone from now on';
                    end if;
                end if;
            end if;
            perform smsretry.save_row(v_row, v_now, due => v_due);
            return query
            select q.*
            from public.sms_retry_queue q
            where q.id = v_row.id;
            set constraints all immediate; -- a deferred check would undo the others, too
        exception
            when query_canceled then -- the time is over and is not counted again
                exit;
            when others then
                -- The next run tries it again.
                raise warning 'Row % could not be recovered: % (%)',
                    v_row.id,
                    sqlerrm,
                    sqlstate;
        end;
    end loop;
end
$$;

-- ======== schemas/worker/reserve_slot.sql ========
-- Reserve a slot of its sender for a text of so many segments. All machines share the sender's rate
-- and its day. The caller has locked the text's number. Groups of calls come sorted by sender, so
-- that two of them do not deadlock.
--   account, sender: the sender's account and address
--   answer_seconds: how long until the worker knows the answer: the slot comes no sooner
--   answer:
--     go: the text leaves at until; null: now
--     sender_rate: all slots until then are reserved, for longer than a worker waits
--     day_spent: its day is spent until then
--     data_changed: the sender is paused
create or replace function smsretry.reserve_slot(
    account text,
    sender text,
    segments integer,
    answer_seconds double precision,
    at timestamptz,
    out answer text,
    out until timestamptz
)
language plpgsql set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_variable
declare
    k_longest constant interval := '2 seconds';
    v_sender smsretry.senders;
    v_midnight timestamptz;
    v_used bigint;
begin
    answer := 'go';
    select *
    into v_sender
    from smsretry.senders s
    where s.account = reserve_slot.account and s.sent_by = sender;
    if v_sender.segments_per_second is null
        and v_sender.segments_per_day is null
        and v_sender.paused_at is null
        and (v_sender.free_at < at) is not false
    then
        return; -- as most are: nothing is written
    end if;
    select *
    into v_sender
    from smsretry.senders s
    where s.id = v_sender.id
    for update;
    v_midnight := smsretry.carriers_midnight(at);
    v_used := case
        when v_sender.day_ends_at = v_midnight then v_sender.day_segments
        else 0
    end;
    until := greatest(
        v_sender.free_at,
        at + make_interval(
            secs => least(greatest(coalesce(answer_seconds, 0), 0), 2)
        )
    );
    if v_sender.paused_at is not null then
        answer := 'data_changed';
    elsif v_used > 0
        and v_used + segments > v_sender.segments_per_day
    then -- a text larger than the whole cap may go first on a new day
        answer := 'day_spent';
        until := v_midnight;
    elsif until > at + k_longest then
        answer := 'sender_rate';
    else
        update smsretry.senders s
        set
            free_at = case
                when s.segments_per_second is null then s.free_at
                else reserve_slot.until + make_interval(
                    secs => segments / s.segments_per_second
                )
            end,
            day_ends_at = case
                when s.segments_per_day is not null then v_midnight
            end,
            day_segments = case
                when s.segments_per_day is not null then v_used + segments
                else 0
            end
        where s.id = v_sender.id;
    end if;
end
$$;

-- ======== schemas/worker/set_sms_stop.sql ========
-- Remember for the next runs that something is stopped, or that it works again. Returns whether it
-- is stopped; null: it was not, so that nothing was lifted. What a person lets go releases its
-- texts. A sender or business that is gone by now has nothing to remember.
--   kind, subject: as in smsretry.stops
--   why: what is wrong and what to do; null: it works again
--   who: the person who says so; without one no business is stopped for good, or let go
--   lift: it works again, and why says why
create or replace function public.set_sms_stop(
    kind text,
    subject text,
    why text,
    who text default null,
    lift boolean default false
)
returns boolean
language plpgsql set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
    v_lifts constant boolean := lift or why is null;
    v_business uuid;
    v_was_stopped boolean;
begin
    if kind = 'business_stopped' then
        perform smsretry.check_who_and_why(who, why);
        v_business := (
            select b.id
            from public.businesses b
            where b.id::text = subject
        );
        if v_business is null and not v_lifts then
            raise exception 'There is no such business: look in the application''s table businesses'
                using errcode = 'SR422';
        end if;
    end if;
    if who is not null then
        perform smsretry.note_event(
            v_business,
            case
                when v_lifts then split_part(kind, '_', 1) || '_resumed'
                else split_part(kind, '_', 1) || '_stopped'
            end,
            who,
            why,
            case when v_business is null then jsonb_build_object('subject', subject) else '{}' end
        );
    end if;
    if v_lifts then
        delete from smsretry.stops s
        where s.kind = set_sms_stop.kind
          and s.subject = set_sms_stop.subject;
        v_was_stopped := found;
        case kind
            when 'state' then
                perform smsretry.try_release('{state_stopped}');
            when 'business_stopped' then
                perform smsretry.try_release(
                    '{business_stopped}',
                    businesses => array[v_business]
                );
            else -- its texts went back to the queue, due
        end case;
        return case when v_was_stopped then false end;
    end if;
    insert into smsretry.stops (kind, subject, since, why, who)
    select
        kind,
        subject,
        smsretry.clock(),
        left(smsretry.numberless(why), smsretry.longest_reason()),
        who
    where case kind
        when 'sender'
            then exists (select from smsretry.senders s where s.id::text = subject)
        when 'business'
            then exists (select from public.businesses b where b.id::text = subject)
        else true
    end
    on conflict on constraint stops_pkey
    do update set why = excluded.why, who = excluded.who;
    return found;
end
$$;

-- ======== schemas/worker/slow_sms_sender.sql ========
-- Slow a sender down, as the provider asks: no slot of it comes for so many seconds, a quarter of
-- an hour at most, and no claim takes its texts until then. Slots that are reserved stay so.
-- Returns in how many seconds its next slot comes; null: nobody has this sender any more.
create or replace function public.slow_sms_sender(
    account text,
    sender text,
    seconds double precision
)
returns double precision
language plpgsql set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    v_now constant timestamptz := smsretry.clock();
    v_free_at timestamptz;
begin
    update smsretry.senders s
    set free_at = greatest(
        s.free_at,
        v_now + make_interval(
            secs => least(greatest(coalesce(slow_sms_sender.seconds, 0), 0), 900)
        )
    )
    where s.sent_by = slow_sms_sender.sender
      and (
          slow_sms_sender.account is null
          or s.account = slow_sms_sender.account
      )
    returning s.free_at
    into v_free_at;
    return extract(epoch from v_free_at - v_now);
end
$$;

-- ======== schemas/worker/start_sms_run.sql ========
-- Begin a run, which names the default sender (account, sender): that of every business without its
-- own. May be repeated, and then returns nothing. It returns a row for
--   each earlier run that never finished, once, with what its sends came to
--   the run after which the database was restored, with restored_since, if the caller's memory
--     shows that
-- Parameters that do not speak for themselves:
--   stale_minutes: after how long a silent run counts as interrupted; null: none does
--   send_to, address: as for begin_sms_attempt
--   earlier: the last runs that this database accepted, as the caller remembers them: id, due_at (when
--     it was to begin), and finished: whether its end was accepted, too. A database that knows one of
--     them no longer was restored. One that knows no earlier run at all is another one, or has pruned
--     them; and that of a worker who does not text everybody is often a fresh copy
create or replace function public.start_sms_run(
    run_id uuid,
    stale_minutes integer default null,
    send_to text default null,
    address text default null,
    account text default null,
    sender text default null,
    earlier jsonb default '[]'
)
returns table (
    id uuid,
    started_at timestamptz,
    accepted bigint,
    in_doubt bigint,
    refused bigint,
    restored_since timestamptz
)
language plpgsql set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    v_now constant timestamptz := smsretry.clock();
begin
    perform smsretry.analyze_filled();
    for id, started_at, restored_since in
        select e.id, e.due_at, k.since
        from jsonb_to_recordset(earlier) e (id uuid, due_at timestamptz, finished boolean)
        cross join lateral (
            -- The latest moment on record before it: the backup was taken no earlier.
            select least(max(greatest(r.started_at, r.finished_at)), e.due_at, v_now) as since
            from smsretry.runs r
            where r.started_at < least(e.due_at, v_now)
            having count(*) > 0
        ) k
        where coalesce(send_to, 'all') = 'all'
          and not exists (
              select from smsretry.runs r
              where r.id = e.id and (r.finished_at is not null or not e.finished)
          )
        order by e.due_at
    loop
        if smsretry.record_restore(restored_since, 'smsretry', 'It has forgotten a run', id) then
            accepted := 0;
            in_doubt := 0;
            refused := 0;
            return next;
        end if;
    end loop;
    insert into smsretry.runs (id, started_at, send_to, address)
    values (run_id, v_now, start_sms_run.send_to, left(start_sms_run.address, 300))
    on conflict
    do nothing;
    insert into smsretry.senders (account, sent_by, named_at)
    select
        start_sms_run.account,
        start_sms_run.sender,
        v_now
    where start_sms_run.account <> start_sms_run.sender
    on conflict on constraint senders_one
    do update set named_at = excluded.named_at;
    update smsretry.senders s
    set free_at = null
    where s.free_at > v_now + interval '1 hour'; -- the clock was set back
    return query
    with silent as (
        update smsretry.runs r
        set interrupted_at = v_now
        where r.id = any (
            array(
                select u.id
                from smsretry.runs u
                where u.finished_at is null
                  and u.interrupted_at is null
                  and start_sms_run.stale_minutes is not null
                  and u.started_at < v_now - make_interval(
                      mins => greatest(start_sms_run.stale_minutes, 1)
                  )
                order by u.started_at
                limit 20
                for update skip locked
            )
        )
        returning r.id, r.started_at
    )
    select
        s.id,
        s.started_at,
        count(*) filter (where a.outcome = 'accepted'),
        count(*) filter (
            where a.id is not null
              and coalesce(a.outcome, 'in_doubt') = 'in_doubt'
        ),
        count(*) filter (where a.outcome in ('rejected', 'not_sent')),
        null::timestamptz
    from silent s
    left join public.sms_send_attempts a
        on a.run_id = s.id
          and a.begun_at between s.started_at and s.started_at + interval '1 day'
    group by s.id, s.started_at
    order by s.started_at;
end
$$;

-- ======== schemas/worker/tried_by.sql ========
-- Find what a text was refused for that a person must mend, if it would leave from the same sender,
-- and the text that tries that for all: of those that are not sent, the last one that tried. Once a
-- try was accepted nobody waits for another.
--   refused_for: as in sms_send_attempts; null: there is nothing to try
--   refused_since: when the first of its sender's texts was refused for it, these two days
--   until: when another text tries again; null: this one may
create or replace function smsretry.tried_by(
    retry_id uuid,
    account text,
    sender text,
    at timestamptz,
    out refused_for text,
    out refused_since timestamptz,
    out until timestamptz
)
language plpgsql set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_variable
declare
    v_last public.sms_send_attempts;
    v_trying public.sms_retry_queue;
begin
    select *
    into v_last
    from public.sms_send_attempts a
    where a.retry_id = tried_by.retry_id
    order by a.claim_no desc
    limit 1;
    if v_last.refused_for is null
        or (v_last.sent_account, v_last.sent_by) is distinct from (account, sender)
    then
        return;
    end if;
    refused_for := v_last.refused_for;
    if not pg_try_advisory_xact_lock(
        hashtextextended(concat_ws(' ', account, sender, refused_for), 0)
    ) then
        until := at + interval '1 minute'; -- another one begins at this moment
        return;
    end if;
    refused_since := (
        select a.begun_at
        from public.sms_send_attempts a
        where a.sent_account = account
          and a.sent_by = sender
          and a.refused_for = tried_by.refused_for
          and a.begun_at > at - interval '2 days'
        order by a.begun_at
        limit 1
    );
    select *
    into v_last
    from public.sms_send_attempts a
    where a.sent_account = account
      and a.sent_by = sender
      and a.refused_for = tried_by.refused_for
    order by a.begun_at desc
    limit 1;
    if v_last.outcome = 'accepted' then
        refused_for := null;
        return;
    end if;
    select *
    into v_trying
    from public.sms_retry_queue q
    where q.id = v_last.retry_id
      and q.id <> tried_by.retry_id
      and q.status in ('pending', 'processing');
    if v_trying.status = 'processing' or v_trying.scheduled_for > at then
        until := greatest(v_trying.scheduled_for, at + interval '1 minute');
    end if;
end
$$;

-- ======== schemas/doubt/after_sms_restore.sql ========
-- Record a restore that no run can notice (start_sms_run), for the person who restored
-- the backup, before anything runs. May be repeated.
--   since: when the backup was taken
--   dry_run: true: nothing is recorded
--   matched, changed: the texts that wait, and were older. The answer has the columns of
--     change_sms_texts
create or replace function public.after_sms_restore(
    since timestamptz,
    dry_run boolean default true,
    who text default null,
    because text default null
)
returns table (matched integer, changed integer, skipped jsonb, sample jsonb)
language plpgsql set search_path = pg_catalog, pg_temp
as $$
begin
    if (
        since <= smsretry.clock()
        and dry_run is not null
    ) is not true
    then
        raise exception 'since must be when the backup was taken, which is not in the future'
            using errcode = 'SR422';
    end if;
    if not dry_run then
        perform smsretry.check_who_and_why(
            who,
            because
        );
        perform smsretry.note_event(null, 'restore_reported', who, because);
        perform smsretry.record_restore(
            since,
            who,
            because
        );
    end if;
    select count(*), count(*), '{}', '[]'
    into matched, changed, skipped, sample
    from public.sms_retry_queue q
    where q.status in ('pending', 'processing');
    return next;
end
$$;

-- ======== schemas/doubt/belongs_to_another.sql ========
-- Say whether a message belongs to another attempt, or to another send log, such as that of a text
-- which the application sent itself.
create or replace function smsretry.belongs_to_another(
    sid text,
    attempt_id uuid,
    send_log_id uuid
)
returns boolean
language sql stable set search_path = pg_catalog, pg_temp as $$
    select exists (
        select from public.sms_send_attempts a
        where a.twilio_sid = belongs_to_another.sid
          and a.id is distinct from belongs_to_another.attempt_id
    )
        or exists (
            select from public.send_logs l
            where l.provider_message_id ->> 'twilio_sid' = belongs_to_another.sid
              and l.id is distinct from belongs_to_another.send_log_id
        )
$$;

-- ======== schemas/doubt/doubt_forgotten.sql ========
-- Put those of these claimed texts in doubt whose message may have left before a restore from a backup
-- (smsretry.forgotten): they are looked for before another one leaves.
create or replace function smsretry.doubt_forgotten(ids uuid[], at timestamptz)
returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    v_forgotten record;
    v_row public.sms_retry_queue;
begin
    for v_forgotten in
        select f.*
        from smsretry.forgotten f
        where f.retry_id = any (doubt_forgotten.ids)
    loop
        select *
        into v_row
        from public.sms_retry_queue q
        where q.id = v_forgotten.retry_id;
        continue when v_row.in_doubt_since is not null;
        v_row.attempt_id := smsretry.presume_send(v_row, v_forgotten.since, at);
        continue when v_row.attempt_id is null;
        v_row.in_doubt_since := v_forgotten.until;
        v_row.reconcile_count := 0;
        v_row.held_since := null;
        v_row.why := 'The database was restored from a backup: it is unknown whether the text went out after that was taken';
        v_row.why_code := 'restored';
        perform smsretry.save_row(v_row, at);
        perform smsretry.note_event(v_row.id, 'in_doubt', 'smsretry', v_row.why);
    end loop;
end
$$;

-- ======== schemas/doubt/earlier_doubt.sql ========
-- Find the last send of this text, by any of its rows, that may have gone out, and since when it is
-- in doubt. Nulls: there is none. One that is under way is not in doubt yet. In plpgsql, which
-- keeps its plan: each insert calls this.
create or replace function smsretry.earlier_doubt(
    send_log_id uuid,
    business_id uuid,
    out attempt_id uuid,
    out since timestamptz
)
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
begin
    select a.id, coalesce(a.finished_at, a.begun_at)
    into attempt_id, since
    from public.sms_send_attempts a
    -- An array, so that an index finds them without statistics.
    where a.retry_id = any (
        array(
            select q.id
            from public.sms_retry_queue q
            where q.send_log_id = earlier_doubt.send_log_id
              and q.business_id = earlier_doubt.business_id
              and q.begun_at is null
        )
    )
      and coalesce(a.outcome, 'in_doubt') = 'in_doubt'
    order by a.begun_at desc
    limit 1;
end
$$;

-- ======== schemas/doubt/forgotten.sql ========
-- Live rows whose message may have left in the time that a restored backup has forgotten. Only a later look that found
-- nothing, or a person's word, clears it: a message that was found does not prove that no other
-- exists.
create or replace view smsretry.forgotten with (security_invoker = true) as
select q.id as retry_id, r.since, r.until
from public.sms_retry_queue q
cross join lateral (
    select
        min(r.since) as since,
        max(r.restored_at) as until
    from smsretry.restores r
    where smsretry.known_since(q.send_log_id, q.created_at) < r.restored_at
      and not exists (
          select from public.sms_send_attempts a
          -- An array, so that an index finds them without statistics.
          where a.retry_id = any (
              array(
                  select o.id
                  from public.sms_retry_queue o
                  where o.send_log_id = q.send_log_id
              )
          )
            and a.begun_at <= r.since
            and a.finished_at >= r.restored_at
            and a.outcome = 'not_sent'
            and a.settled_by in ('reconcile', 'operator')
      )
) r
where q.status in ('pending', 'processing')
  and r.since is not null;

-- ======== schemas/doubt/not_sent.sql ========
-- Record that an attempt in doubt never reached the provider. If the row waits for it, its text is
-- sent again; that costs no attempt if the worker died, because the request may never have left.
-- What it took of its sender's day stays taken, unlike what was refused: that nobody found it does
-- not prove that no carrier counted it, and few texts come into doubt. The caller has locked the
-- row.
create or replace function smsretry.not_sent(
    retry public.sms_retry_queue,
    attempt_id uuid,
    settled_by text,
    at timestamptz
)
returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    v_attempt public.sms_send_attempts;
begin
    update public.sms_send_attempts a
    set
        outcome = 'not_sent',
        finished_at = not_sent.at,
        settled_by = not_sent.settled_by,
        sent_to = null,
        sent_body = null
    where a.id = not_sent.attempt_id
      and a.outcome is distinct from 'not_sent'
    returning *
    into v_attempt;
    if retry.status in ('failed', 'cancelled') then
        return;
    end if;
    if v_attempt.worker_died then
        retry.attempt_count := least(
            retry.attempt_count,
            greatest(v_attempt.attempt_number - 1, 0)
        );
    end if;
    retry.attempt_id := null;
    retry.in_doubt_since := null;
    retry.reconcile_count := 0;
    retry.held_since := null;
    retry.why := null;
    retry.why_code := case not_sent.settled_by
        when 'operator' then 'operator'
        else 'no_evidence'
    end;
    perform smsretry.save_row(retry, not_sent.at, due => not_sent.at);
end
$$;

-- ======== schemas/doubt/presume_send.sql ========
-- Write the attempt of a send that nobody wrote down, although it may have been made: it is in doubt,
-- with what the rows say now, but for a number that has changed since. Returns its id; null: nobody
-- can have texted a customer without a number.
create or replace function smsretry.presume_send(
    retry public.sms_retry_queue,
    begun_at timestamptz,
    at timestamptz
)
returns uuid
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    v_id uuid;
begin
    insert into public.sms_send_attempts (
        id,
        retry_id,
        attempt_number,
        claim_no,
        begun_at,
        finished_at,
        outcome,
        worker_died,
        consent_status,
        consent_at,
        consent_source,
        number_key,
        sent_to,
        sent_body,
        business_id
    )
    select
        gen_random_uuid(),
        retry.id,
        retry.attempt_count + 1,
        retry.claim_no,
        presume_send.begun_at,
        presume_send.at,
        'in_doubt',
        retry.claimed_by_application,
        left(c.sms_consent_status::text, 40),
        c.sms_consent_at,
        left(c.sms_consent_source::text, 200),
        smsretry.number_key(retry.business_id, c.phone),
        case
            when not exists (
                select from smsretry.events e
                where e.about = c.id
                  and e.code = 'number_changed'
                  and e.at >= presume_send.begun_at
            )
                then left(c.phone, 40)
        end,
        left(l.subject, smsretry.longest_body() + 1),
        retry.business_id
    from (select) always -- a row even if both are gone
    left join public.customers c on c.id = retry.customer_id
    left join public.send_logs l on l.id = retry.send_log_id
    where c.id is null or btrim(c.phone) <> ''
    returning id
    into v_id;
    return v_id;
end
$$;

-- ======== schemas/doubt/reconcile_sms_retry.sql ========
-- Record the result of a look for evidence, for a claimed row in doubt. May be repeated. A look
-- that found nothing ends an earlier hold.
--   decision:
--     accepted: the message was found (twilio_sid; null if only the send log says so)
--     look_again: it was not found; look again in due_in
--     look_failed: the look itself failed, for why; look again in due_in
--     resend: it was not found for long enough: send the text again
--     hold: a person must decide about why; look again in due_in. Past its expiry, the row fails
--       with that
--   ambiguous: with hold, the messages that may be the text
--   life: how long the text is of use from now on, if nothing has said so; null: the next look says
--     so
-- It returns
--   applied: the row is as decided
--   ended: the row failed, because its life is over
--   claim_lost: another worker has the row
--   sid_taken: another text has that SID, or all ambiguous ones: look at the next message
--   wait: a send to the same number has no answer yet, or began after the claim: the message may be
--     that one's
create or replace function public.reconcile_sms_retry(
    retry_id uuid,
    claim_no bigint,
    decision text,
    twilio_sid text default null,
    settled_by text default 'reconcile',
    due_in interval default null,
    why text default null,
    ambiguous text[] default null,
    life interval default null,
    why_code text default null
)
returns text
language plpgsql set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
    v_row public.sms_retry_queue;
    v_now timestamptz;
    v_found constant text[] := array_remove(ambiguous || twilio_sid, null);
    v_unowned text[];
begin
    if (
        decision in ('accepted', 'look_again', 'look_failed', 'resend', 'hold')
    ) is not true
        or decision in ('look_again', 'look_failed', 'hold')
            and due_in is null
        or decision = 'hold' and why is null
    then
        raise exception 'decision must be accepted, look_again or look_failed (with due_in), resend, or hold (with why and due_in)'
            using errcode = 'SR422';
    end if;
    v_row := smsretry.fenced(retry_id, claim_no);
    v_now := smsretry.clock();
    if v_row.id is null
        or v_row.begun_at is not null
        or v_row.in_doubt_since is null
    then
        return coalesce(
            (
                -- the answer to the same call was lost on its way
                select case q.status when 'failed' then 'ended' else 'applied' end
                from public.sms_retry_queue q
                where q.id = retry_id and q.reconciled_claim_no = claim_no
            ),
            'claim_lost'
        );
    end if;
    -- Another send to the number has no answer yet, or began between the claim and now, so that the
    -- look did not know it. (One dated later began before a clock was set back.) This comes before
    -- the next check, where an answer that comes between the two shows as a taken SID.
    if v_found <> '{}'
        and exists (
            select from public.sms_send_attempts ours
            join public.sms_send_attempts theirs
                on theirs.sent_to = ours.sent_to and theirs.id <> ours.id
            join public.sms_retry_queue q on q.id = theirs.retry_id
            where ours.id = v_row.attempt_id
              and (
                  q.status = 'processing'
                  and q.begun_at is not null
                  and q.attempt_id = theirs.id
                  or theirs.begun_at > v_row.claimed_at
                      and theirs.begun_at <= v_now
              )
        ) then
        return 'wait';
    end if;
    v_unowned := (
        select array_agg(m.sid order by m.place)
        from unnest(v_found) with ordinality as m (sid, place)
        where not smsretry.belongs_to_another(m.sid, v_row.attempt_id, v_row.send_log_id)
    );
    if v_found <> '{}' and v_unowned is null then
        return 'sid_taken';
    end if;

    v_row.reconciled_claim_no := claim_no;
    v_row.recover_count := 0;
    if decision = 'look_again'
        and (v_row.held_since is not null or v_row.why_code in ('list_unavailable', 'ambiguous')) then
        v_row.why := null;
    end if;
    v_row.why_code := why_code;
    v_row.expires_at := coalesce(v_row.expires_at, v_now + life);
    if decision = 'accepted' then
        perform smsretry.accept_attempt(
            v_row,
            v_row.attempt_id,
            twilio_sid,
            settled_by,
            v_now
        );
    elsif decision = 'resend'
        or exists (
            -- a person has said so of an older row of the text, while this one was queued
            select from public.sms_send_attempts a
            where a.id = v_row.attempt_id and a.outcome = 'not_sent'
        ) then
        perform smsretry.not_sent(v_row, v_row.attempt_id, settled_by, v_now);
    else
        if decision = 'hold' then
            v_row.why := left(why, 1800)
                || coalesce(
                    ': ' || array_to_string(v_unowned[:3], ', ')
                        || case
                            when cardinality(v_unowned) > 3
                                then ' and ' || cardinality(v_unowned) - 3 || ' more'
                            else ''
                        end,
                    ''
                );
            v_row.held_since := coalesce(v_row.held_since, v_now);
            if v_row.expires_at <= v_now then
                perform smsretry.save_row(
                    v_row,
                    v_now,
                    ended => 'failed',
                    why => v_row.why,
                    why_code => why_code
                );
                return 'ended';
            end if;
        elsif decision = 'look_again' then
            v_row.reconcile_count := v_row.reconcile_count + 1;
            v_row.held_since := null;
        elsif v_row.held_since is null then
            v_row.why := coalesce(left(why, 1800), v_row.why);
        end if;
        perform smsretry.save_row(v_row, v_now, due => v_now + due_in);
    end if;
    return 'applied';
exception
    when unique_violation then -- two looks found the same message at the same moment
        return 'sid_taken';
end
$$;

-- ======== schemas/doubt/resolve_sms_doubt.sql ========
-- Record what became of a text in doubt, as a person says it. With a SID it went out as that
-- message; without one it did not, and is sent again. If it expired in doubt, its send log then
-- says that it went out, or it stays ended and may be requeued. If it was queued anew, the newer
-- row is resolved. Answers resolved or not_in_doubt. With a SID it may be repeated.
create or replace function public.resolve_sms_doubt(
    retry_id uuid,
    twilio_sid text default null,
    who text default null,
    because text default null
)
returns text
language plpgsql set search_path = pg_catalog, pg_temp
as $$
declare
    v_row public.sms_retry_queue;
    v_attempt_id uuid;
begin
    if num_nonnulls(resolve_sms_doubt.who, resolve_sms_doubt.because) > 0 then
        perform smsretry.check_who_and_why(
            resolve_sms_doubt.who,
            resolve_sms_doubt.because
        );
    end if;
    -- The row of the text that is live and in doubt, or else the one that is named.
    select q.*
    into v_row
    from public.sms_retry_queue named
    join public.sms_retry_queue q
        on q.send_log_id = named.send_log_id
          and q.business_id = named.business_id
    where named.id = resolve_sms_doubt.retry_id
      and (
          q.id = named.id
          or named.status in ('failed', 'cancelled')
              and q.status in ('pending', 'processing')
              and q.in_doubt_since is not null
      )
    order by q.id = named.id
    limit 1
    for update of q;
    v_attempt_id := case
        when v_row.status = 'pending'
          and v_row.in_doubt_since is not null
            then v_row.attempt_id
        when v_row.status in ('failed', 'cancelled')
            then (
                select d.attempt_id
                from smsretry.earlier_doubt(v_row.send_log_id, v_row.business_id) d
            )
    end;
    if v_attempt_id is null then -- or a worker is looking at it at this moment
        return case
            when exists (
                select from public.sms_send_attempts a
                join public.sms_retry_queue q on q.id = a.retry_id
                where a.twilio_sid = resolve_sms_doubt.twilio_sid
                  and q.send_log_id = v_row.send_log_id
            )
                then 'resolved'
            else 'not_in_doubt'
        end;
    end if;
    if resolve_sms_doubt.twilio_sid is not null then
        perform public.settle_sms_attempt(
            v_attempt_id,
            resolve_sms_doubt.twilio_sid,
            'operator'
        );
    else
        perform smsretry.not_sent(
            v_row,
            v_attempt_id,
            'operator',
            smsretry.clock()
        );
    end if;
    perform smsretry.note_event(
        v_row.id,
        case
            when resolve_sms_doubt.twilio_sid is null then 'did_not_go_out'
            else 'went_out'
        end,
        resolve_sms_doubt.who,
        resolve_sms_doubt.because
    );
    return 'resolved';
end
$$;

-- ======== schemas/doubt/settle_sms_attempt.sql ========
-- Record the provider's status callback, for the application's webhook. It proves that the provider
-- has the message of this attempt, and says how far that has come. May be called any number of
-- times, in any order, before or after the sender's own answer. An unknown status proves the
-- message and is not kept.
--   attempt_id: from the URL; null: the attempt is found by its SID
--   delivery_status, error_code: Twilio's MessageStatus and ErrorCode
--   account_sid: the account that signed the callback; null: not told. An account speaks for what
--     went out from it and nothing else: who has an account of their own has the token that signs
--     for it
-- It returns
--   settled: the row is completed
--   recorded: the row had moved on, or the status is news
--   already_settled: there is no news
--   unknown_attempt: there is none, or it has another SID or account
create or replace function public.settle_sms_attempt(
    attempt_id uuid default null,
    twilio_sid text default null,
    settled_by text default 'callback',
    delivery_status text default null,
    error_code integer default null,
    account_sid text default null
)
returns text
language plpgsql set search_path = pg_catalog, pg_temp
as $$
declare
    v_row public.sms_retry_queue;
    v_attempt public.sms_send_attempts;
    v_now timestamptz;
    v_answer text := 'already_settled';
begin
    if not smsretry.is_message_id(settle_sms_attempt.twilio_sid)
        or (settle_sms_attempt.settled_by in ('callback', 'operator')) is not true
    then
        raise exception 'twilio_sid must be the provider''s id of a message, settled_by callback or operator'
            using errcode = 'SR422';
    end if;
    select *
    into v_attempt
    from public.sms_send_attempts a
    where a.id = coalesce(
        settle_sms_attempt.attempt_id,
        (
            select s.id
            from public.sms_send_attempts s
            where s.twilio_sid = settle_sms_attempt.twilio_sid
        )
    );
    -- No fence: what the provider accepted is true, whoever has the row. The row is the attempt's
    -- own, or a newer one of its text that is in doubt about it.
    select *
    into v_row
    from public.sms_retry_queue q
    where q.id = coalesce(
        -- No join: with old statistics it walks all live rows.
        (
            select w.id
            from public.sms_retry_queue w
            where w.send_log_id = (
                select o.send_log_id
                from public.sms_retry_queue o
                where o.id = v_attempt.retry_id
            )
              and w.status in ('pending', 'processing')
              and w.attempt_id = v_attempt.id
        ),
        v_attempt.retry_id
    )
    for update;
    if not found then
        return 'unknown_attempt';
    end if;
    select *
    into v_attempt
    from public.sms_send_attempts a
    where a.id = v_attempt.id;
    v_now := smsretry.clock();
    if v_attempt.twilio_sid <> settle_sms_attempt.twilio_sid
        or lower(v_attempt.sent_account) <> lower(settle_sms_attempt.account_sid)
    then
        return 'unknown_attempt';
    end if;
    if v_attempt.twilio_sid is null then
        if smsretry.belongs_to_another(
            settle_sms_attempt.twilio_sid,
            v_attempt.id,
            v_row.send_log_id
        ) then
            raise exception 'SID % belongs to another text',
                settle_sms_attempt.twilio_sid
                using errcode = 'SR422';
        end if;
        v_answer := smsretry.accept_attempt(
            v_row,
            v_attempt.id,
            settle_sms_attempt.twilio_sid,
            settle_sms_attempt.settled_by,
            v_now
        );
    end if;
    if smsretry.record_delivery(
        v_attempt.id,
        settle_sms_attempt.delivery_status,
        settle_sms_attempt.error_code,
        v_now
    )
        and v_answer = 'already_settled'
    then
        return 'recorded';
    end if;
    return v_answer;
end
$$;

-- ======== schemas/consent/businesses_of.sql ========
-- List the businesses that have a customer with this number and are concerned (smsretry.concerns).
-- Others ask what was said when they get one (smsretry.objections).
create or replace function smsretry.businesses_of(
    phone text,
    senders text[] default null,
    account text default null
)
returns uuid[]
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
begin
    return array(
        select b.id
        from (
            select distinct c.business_id as id
            from public.customers c
            where c.phone = businesses_of.phone
            offset 0
        ) b
        where smsretry.concerns(
            b.id,
            smsretry.number_key(b.id, businesses_of.phone),
            businesses_of.senders,
            businesses_of.account
        )
        order by 1
    );
end
$$;

-- ======== schemas/consent/concerns.sql ========
-- Say whether what these senders received concerns a business: one of them sends its texts, or has
-- sent one to the number. What went out from a sender that is unknown, or is gone, may have gone out
-- from any of its account.
--   senders: null: all
--   account: that they are of; null: not told
create or replace function smsretry.concerns(
    business_id uuid,
    number_key bytea,
    senders text[],
    account text default null
)
returns boolean
-- cost: it is asked only of what stands
language plpgsql stable cost 10000 set search_path = pg_catalog, pg_temp as $$
begin
    return concerns.senders is null
        or smsretry.sends_through(concerns.business_id, concerns.senders)
        or exists (
            select from public.sms_send_attempts a
            where a.number_key = concerns.number_key
              and (
                  a.sent_by = any (concerns.senders)
                  or (lower(a.sent_account) = lower(concerns.account)) is not false
                      and not exists (
                          select from smsretry.senders s
                          where s.sent_by = a.sent_by
                      )
              )
        );
end
$$;

-- ======== schemas/consent/consent_for.sql ========
-- Tell which consent a customer's row should show; nulls: it does already. It is the opt-out that
-- stands and is hardest to take back. If none stands, the last word to us counts: an opt-in, or a
-- START, which gives back the consent that a STOP by the same number ended (unknown: somebody must
-- ask).
create or replace function smsretry.consent_for(
    customer_id uuid,
    out status text,
    out at timestamptz,
    out source text
)
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
    v_row public.customers;
    v_consent text;
    v_keys bytea[];
    v_last_word record;
begin
    select *
    into v_row
    from public.customers c
    where c.id = consent_for.customer_id;
    v_consent := smsretry.consent(v_row.sms_consent_status::text);
    select 'opted_out', (o.word).dated, (o.word).source
    into status, at, source
    from smsretry.objections(
        array[v_row.business_id],
        array[v_row.phone::text],
        array[v_row.id]
    ) o
    where (o.word).said = 'opted_out'
    limit 1;
    if found then
        if v_consent = 'opted_out'
            and (
                smsretry.start_takes_back(source)
                or not smsretry.start_takes_back(v_row.sms_consent_source::text)
            ) then
            status := null;
        end if;
        return;
    end if;
    v_keys := array[
        smsretry.number_key(v_row.business_id, v_row.phone),
        smsretry.number_key(v_row.business_id, v_row.id::text)
    ];
    select i.source, i.at, i.dated
    into v_last_word
    from smsretry.consents i
    where i.subject_key = any (v_keys) and i.said = 'opted_in'
    order by i.id desc
    limit 1;
    if not found or v_last_word.dated is not null then
        return; -- the application's own word
    end if;
    at := v_last_word.at;
    source := v_last_word.source;
    if v_last_word.source not in ('inbound_start', 'inbound_yes') then
        if (v_consent = 'opted_in' and v_row.sms_consent_at >= v_last_word.at) is not true then
            status := 'opted_in';
        end if;
    elsif v_consent = 'opted_out'
        and smsretry.start_takes_back(
            v_row.sms_consent_source::text,
            v_last_word.source = 'inbound_yes'
        ) then
        source := 'inbound_start';
        status := coalesce(
            (
                select w.was
                from smsretry.consents w
                where w.subject_key = v_keys[2]
                  and w.number_key = smsretry.number_key(null, v_row.phone)
                  and w.said in ('opted_out', 'unsure')
                  and w.was is not null
                order by w.id desc
                limit 1
            ),
            'unknown'
        );
    end if;
end
$$;

-- ======== schemas/consent/import_sms_opt_outs.sql ========
-- Import opt-outs from another system, at one business or at each; for people. A number needs no
-- customer: one that comes later is opted out, too. A later opt-in at a business stays. A
-- repetition changes nothing.
--   opt_outs: an array of at most 500 objects:
--     phone: in E.164
--     at: RFC 3339, with its offset, from 2000 on
--     line: to name it by
--   dry_run: true: nothing changes; false needs who and because
--   source: null: import_ and today's date
-- It returns
--   recorded, known: numbers
--   customers, cancelled, unmarked: as record_sms_consent
--   notes: lines that are not recorded: unreadable (also a date that has not come, or is on no
--     calendar), or outlived (by customer_id's opt-in)
create or replace function public.import_sms_opt_outs(
    opt_outs jsonb,
    business_id uuid default null,
    all_businesses boolean default false,
    dry_run boolean default true,
    who text default null,
    because text default null,
    source text default null
)
returns table (
    recorded integer,
    known integer,
    customers integer,
    cancelled integer,
    unmarked integer,
    notes jsonb
)
language plpgsql set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
    -- each may lock customers, and the memory for locks is everybody's
    k_most constant integer := 500;
    -- times that PostgreSQL reads; a 30 February is taken apart below
    k_at constant text := '^20\d\d-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])[T ]([01]\d|2[0-3]):[0-5]\d(:[0-5]\d(\.\d{1,9})?)?(Z|[+-](0\d|1[0-4]):[0-5]\d)$';
    v_now constant timestamptz := smsretry.clock();
    v_line record;
    v_opt_in record;
    v_businesses uuid[];
    v_outlived smsretry.word[];
    v_words bigint[];
    v_marked record;
    -- until when customers are marked; a later run does the rest
    v_until constant timestamptz := clock_timestamp() + interval '2 seconds';
begin
    if (
        dry_run is not null
        and all_businesses = (business_id is null)
        and jsonb_typeof(opt_outs) = 'array'
    ) is not true
    then
        raise exception 'opt_outs must be an array, and for whom must be said in one way: business_id, or all_businesses'
            using errcode = 'SR422',
                  hint = 'Nothing was recorded.';
    elsif jsonb_array_length(opt_outs) > k_most then
        raise exception 'opt_outs holds more than % lines: give them in several calls',
            k_most
            using errcode = 'SR422';
    elsif business_id is not null
        and not exists (
            select from public.businesses b
            where b.id = business_id
        ) then
        raise exception 'No business has this id'
            using errcode = 'SR404',
                  hint = 'Check it against businesses.id. Nothing was recorded.';
    end if;
    if not dry_run then
        perform smsretry.check_who_and_why(who, because);
    end if;
    recorded := 0;
    known := 0;
    customers := 0;
    cancelled := 0;
    unmarked := 0;
    notes := '[]';
    begin
        for v_line in
            select
                case when w.at <= v_now then w.phone end as phone,
                min(w.line) as line,
                count(*)::integer as lines,
                max(w.at) as at
            from (
                select
                    case
                        when e.value ->> 'line' ~ '^[0-9]{1,15}$'
                            then (e.value ->> 'line')::bigint
                        else e.place
                    end as line,
                    case
                        when e.value ->> 'phone' ~ '^[+][1-9][0-9]{6,14}$'
                            then e.value ->> 'phone'
                    end as phone,
                    case
                        when e.value ->> 'at' ~ k_at
                            then overlay(
                                e.value ->> 'at' placing '01' from 9 for 2
                            )::timestamptz + substr(
                                e.value ->> 'at',
                                9,
                                2
                            )::integer * interval '24 hours' - interval '24 hours'
                    end as at
                from jsonb_array_elements(opt_outs) with ordinality e (value, place)
            ) w
            group by
                1,
                case
                    when (w.at <= v_now and w.phone <> '') is not true then w.line
                end
            order by
                1,
                2 -- two imports lock customers in the same order
        loop
            if v_line.phone is null then
                notes := notes
                    || jsonb_build_object(
                        'line', v_line.line,
                        'what', 'unreadable',
                        'lines', 1
                    );
                continue;
            end if;
            v_businesses := case
                when business_id is not null then array[business_id]
                else smsretry.businesses_of(v_line.phone) || null::uuid
            end; -- null: for those who get to know it
            v_outlived := '{}';
            for v_opt_in in
                select distinct on (c.business_id)
                    c.business_id,
                    c.id,
                    c.sms_consent_source::text as source,
                    c.sms_consent_at as at
                from public.customers c
                where c.phone = v_line.phone
                  and (c.business_id = any (v_businesses)) is true -- by the number's index alone
                  and smsretry.consent(c.sms_consent_status::text) = 'opted_in'
                  and c.sms_consent_at > v_line.at
                  and c.sms_consent_at <= v_now
                  and not smsretry.is_known_opt_in(
                      smsretry.number_key(c.business_id, v_line.phone),
                      c.sms_consent_at,
                      in_vain => true
                  )
                order by c.business_id, c.sms_consent_at desc
            loop
                notes := notes
                    || jsonb_build_object(
                        'line', v_line.line,
                        'what', 'outlived',
                        'lines', v_line.lines,
                        'customer_id', v_opt_in.id,
                        'business_id', v_opt_in.business_id
                    );
                v_businesses := array_remove(v_businesses, v_opt_in.business_id);
                v_outlived := v_outlived || row(
                    v_opt_in.business_id,
                    v_line.phone,
                    null,
                    'opted_in',
                    v_opt_in.source,
                    v_opt_in.at,
                    null,
                    null,
                    null
                )::smsretry.word;
            end loop;
            v_words := smsretry.keep_words(
                smsretry.words_at(
                    v_businesses,
                    v_line.phone,
                    'opted_out',
                    -- explain_sms shows the source: a word
                    coalesce(source, 'import_' || to_char(v_now at time zone 'UTC', 'YYYY-MM-DD')),
                    v_line.at
                ),
                everyone => true,
                marks => true
            );
            if v_words <> '{}' then -- else there is nothing new to outlive
                perform smsretry.keep_words(v_outlived);
            end if;
            recorded := recorded + (v_words <> '{}')::integer;
            known := known + v_line.lines - 1 + (
                v_words = '{}' and v_businesses <> '{}'
            )::integer;
            select m.*
            into v_marked
            from smsretry.write_consent(v_words, v_until) m;
            customers := customers + v_marked.opted_out;
            cancelled := cancelled + v_marked.cancelled;
            unmarked := unmarked + v_marked.unmarked;
            perform smsretry.note_event(w.customer_id, 'opted_out', who, because)
            from smsretry.consents w
            where w.id = any (v_words) and w.customer_id is not null;
        end loop;
        if recorded > 0 then
            perform smsretry.note_event(
                null,
                'opt_outs_imported',
                who,
                because,
                jsonb_build_object('recorded', recorded)
            );
        end if;
        if dry_run then -- it has been tried, and is undone
            raise exception 'rolled back' using errcode = 'SR001';
        end if;
    exception
        when sqlstate 'SR001' then
            null;
    end;
    return next;
end
$$;

-- ======== schemas/consent/is_known_opt_in.sql ========
-- Say whether a row with this number has had this date of an opt-in before, so that it is no news
-- now. Applications cut off or round to milliseconds or seconds.
--   in_vain: only where the date lifted nothing
create or replace function smsretry.is_known_opt_in(
    subject_key bytea,
    dated timestamptz,
    in_vain boolean default false
)
returns boolean
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
begin
    return exists (
        select from smsretry.consents i
        where i.subject_key = is_known_opt_in.subject_key
          and i.said in ('opted_in', 'seen')
          and (i.said = 'seen' or not is_known_opt_in.in_vain)
          and date_trunc('second', i.dated) in (
              date_trunc('second', is_known_opt_in.dated),
              date_trunc('second', is_known_opt_in.dated) - interval '1 second'
          )
    );
end
$$;

-- ======== schemas/consent/keep_changes.sql ========
-- Keep what the application has written to customers' rows as words, for the number and not for the
-- row alone (smsretry.consents). A word must be new: a row that is saved unchanged or cut off to
-- seconds, an old date, and a date that only came along with a number say nothing. Whoever comes to a
-- number brings along what stands at the one before, and shares what stands here.
create or replace function smsretry.keep_changes(changes smsretry.customer_change[])
returns void
language plpgsql set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_generic_plan as $$
declare
    v_now constant timestamptz := smsretry.clock();
    v_key constant bytea := (select s.key from smsretry.secret s);
    v_kept bigint[];
begin
    changes := array(
        select row(
            c.id, c.business_id, f.phone, c.consent, c.source, c.dated,
            c.is_new, c.was_business_id, f.was_phone, c.was_consent, c.was_source, c.was_dated,
            (c.was_business_id, f.was_phone) is distinct from (c.business_id, f.phone),
            f.is_changed or f.is_later,
            -- else its date is that of the consent which ends here
            case when not c.is_new and f.is_changed and not f.is_later then v_now else c.dated end
        )::smsretry.customer_change
        from unnest(changes) c
        cross join lateral (
            select
                substring(c.phone from '(?s)^.*\d.*$') as phone, -- '' and 'n/a' are no numbers
                substring(c.was_phone from '(?s)^.*\d.*$') as was_phone,
                c.was_consent is distinct from c.consent as is_changed,
                -- A date that has not come is corrected by any other.
                coalesce(
                    c.dated > case when c.was_dated <= v_now then c.was_dated else '-infinity' end,
                    false
                ) as is_later
        ) f
    );

    insert into smsretry.events (at, about, code, detail)
    select v_now, e.about, e.code, e.detail
    from (
        select
            c.id as about,
            'consent_changed' as code,
            jsonb_build_object(
                'was', c.was_consent,
                'became', c.consent,
                'source', left(smsretry.numberless(left(c.source, 1000)), 200)
            ) as detail
        from unnest(changes) c
        where not c.is_new and c.was_consent is distinct from c.consent
        union all
        select
            c.id,
            'number_changed',
            jsonb_build_object(
                'was', smsretry.masked(c.was_phone),
                'became', smsretry.masked(c.phone)
            )
        from unnest(changes) c
        where not c.is_new and c.was_phone is distinct from c.phone
    ) e;

    v_kept := smsretry.keep_words(
        array(
            -- an opt-out that came with another number is the old one's, too
            select row(
                c.was_business_id, c.was_phone, null, 'opted_out', c.source, c.said_at,
                null, null, null
            )::smsretry.word
            from unnest(changes) c
            where c.consent = 'opted_out'
              and c.was_consent is distinct from c.consent
              and c.was_phone is distinct from c.phone
              and not c.is_new
        )
            || array(
                -- A new row brings nothing along, and names nobody: it may be another one each night.
                select distinct on (c.id, (o.word).said, (o.word).source, (o.word).senders) row(
                    c.business_id,
                    c.phone,
                    case when not c.is_new or (o.word).said = 'unsure' then c.id end,
                    (o.word).said,
                    (o.word).source,
                    (o.word).dated,
                    (o.word).senders,
                    (o.word).twilio_sid,
                    (o.word).id
                )::smsretry.word
                from (
                    select u.*, a.*
                    from unnest(changes) u
                    cross join lateral (
                        select u.phone, u.id
                        union all
                        select u.was_phone, null
                        where u.was_business_id = u.business_id
                    ) a (at_phone, named)
                    where u.is_moved
                      and u.consent is distinct from 'opted_out' -- else the row says so itself
                      and exists ( -- few have said anything
                          select from smsretry.consents w
                          where w.subject_key = any (
                              array[
                                  smsretry.number_key(u.business_id, a.at_phone, v_key),
                                  smsretry.number_key(u.business_id, a.named::text, v_key),
                                  smsretry.number_key(null, a.at_phone, v_key)
                              ]
                          )
                            and w.said in ('opted_out', 'unsure')
                          offset 0
                      )
                    offset 0
                ) c
                cross join lateral smsretry.objections(
                    array[c.business_id],
                    array[c.at_phone],
                    array[c.named]
                ) o
                order by
                    c.id,
                    (o.word).said,
                    (o.word).source,
                    (o.word).senders,
                    (o.word).dated desc
            )
    );

    v_kept := smsretry.keep_words(
        array(
            select distinct on (c.business_id, coalesce(c.phone, c.id::text))
                row(
                    c.business_id,
                    c.phone,
                    -- who has no number, and whom a START may give back what this ends
                    case
                        when c.phone is null
                          or not c.is_new
                            and smsretry.start_takes_back(c.source)
                            then c.id
                    end,
                    'opted_out',
                    c.source,
                    max(c.said_at) over (partition by c.business_id, coalesce(c.phone, c.id::text)),
                    null,
                    null,
                    null
                )::smsretry.word
            from unnest(changes) c
            where c.consent = 'opted_out'
              and (
                  c.is_said
                  or c.is_moved
                  -- Another source alone opts nobody out again who has opted in since.
                  or c.was_source is distinct from c.source
                      and exists (
                          select from smsretry.standing_words o
                          where o.subject_key = smsretry.number_key(c.business_id, c.phone, v_key)
                            and o.said = 'opted_out'
                          offset 0
                      )
              )
            order by
                c.business_id,
                coalesce(c.phone, c.id::text),
                smsretry.start_takes_back(c.source)
        )
    );
    if v_kept <> '{}' then
        update smsretry.consents w
        set was = left(c.was_consent, 40)
        from unnest(changes) c
        where w.id = any (v_kept)
          and w.customer_id = c.id
          and smsretry.start_takes_back(w.source); -- which gives it back
    end if;

    -- An opt-in lifts the opt-outs before its date, once that has come; an application's clock may
    -- be five minutes fast.
    perform smsretry.keep_words(
        array(
            select row(
                c.business_id, c.phone, c.id, 'opted_in', c.source, c.dated,
                null, null, null
            )::smsretry.word
            from unnest(changes) c
            where c.consent = 'opted_in'
              and c.is_said
              and c.dated <= v_now + interval '5 minutes'
              and exists (
                  select from smsretry.standing_words o
                  where o.subject_key = any (
                      array[
                          smsretry.number_key(c.business_id, c.phone, v_key),
                          smsretry.number_key(c.business_id, c.id::text, v_key)
                      ]
                  )
                    and o.said = 'opted_out'
                    and o.dated < least(c.dated, v_now)
                  offset 0
              )
              and not smsretry.is_known_opt_in(
                  smsretry.number_key(c.business_id, coalesce(c.phone, c.id::text), v_key),
                  c.dated
              )
        ),
        everyone => true
    );

    -- A date that has not come, or came along with the number, lifts nothing later either.
    insert into smsretry.consents (subject_key, business_id, said, at, dated)
    select distinct d.subject_key, d.business_id, 'seen', v_now, d.dated
    from (
        select
            smsretry.number_key(c.business_id, coalesce(c.phone, c.id::text), v_key) as subject_key,
            c.business_id,
            e.dated
        from unnest(changes) c
        cross join lateral (
            values
                (c.was_consent, c.was_dated, v_now), -- the clock may have been set back
                (
                    c.consent,
                    c.dated,
                    case
                        when c.is_said or c.was_phone is null or not c.is_moved then v_now
                        else '-infinity'
                    end
                )
        ) e (consent, dated, seen_after)
        where e.consent = 'opted_in' and e.dated > e.seen_after
        offset 0
    ) d
    where not smsretry.is_known_opt_in(d.subject_key, d.dated);

    perform smsretry.release_texts(
        '{consent_unclear}',
        array(
            select c.id
            from unnest(changes) c
            where c.was_consent not in ('opted_in', 'opted_out', 'unknown')
              and c.consent <> c.was_consent
        )
    );
end
$$;

-- ======== schemas/consent/keep_consent.sql ========
-- Keep what a statement of the application's writes to customers (smsretry.keep_changes), some
-- thousand rows at a time. security definer, because tenants may not write consents. A word that
-- cannot be kept refuses the write, and nobody takes it for kept.
create or replace function smsretry.keep_consent()
returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
    k_rows constant integer := 5000;
    v_changes smsretry.customer_change[] := '{}';
begin
    if tg_op = 'DELETE' then
        -- perhaps written while triggers were off
        perform smsretry.keep_words(
            array(
                select row(
                    o.business_id,
                    o.phone,
                    null,
                    'opted_out',
                    o.sms_consent_source::text,
                    o.sms_consent_at,
                    null,
                    null,
                    null
                )::smsretry.word
                from customers_before o
                where smsretry.consent(o.sms_consent_status::text) = 'opted_out'
            ),
            once => true
        );
    elsif tg_op = 'INSERT' then
        v_changes := array(
            select row(
                n.id,
                n.business_id,
                n.phone,
                smsretry.consent(n.sms_consent_status::text),
                n.sms_consent_source::text,
                n.sms_consent_at,
                true, null, null, null, null, null, null, null, null
            )::smsretry.customer_change
            from customers_after n
        );
    else
        v_changes := array(
            select row(
                n.id,
                n.business_id,
                n.phone,
                smsretry.consent(n.sms_consent_status::text),
                n.sms_consent_source::text,
                n.sms_consent_at,
                o.id is null, -- it has another id: nobody knows whose it was
                o.business_id,
                o.phone,
                smsretry.consent(o.sms_consent_status::text),
                o.sms_consent_source::text,
                o.sms_consent_at,
                null,
                null,
                null
            )::smsretry.customer_change
            from customers_after n
            left join customers_before o on o.id = n.id
            where (o.business_id, o.phone, o.sms_consent_status, o.sms_consent_at, o.sms_consent_source)
                is distinct from (n.business_id, n.phone, n.sms_consent_status, n.sms_consent_at, n.sms_consent_source)
        );
    end if;
    for v_first in 1 .. cardinality(v_changes) by k_rows loop
        perform smsretry.keep_changes(v_changes[v_first : v_first + k_rows - 1]);
    end loop;
    return null;
end
$$;

-- ======== schemas/consent/keep_rows.sql ========
-- Keep opt-outs that customers' rows say and that nobody has received: they were written before
-- there was a trigger, or while it was off. Returns how many.
--   phone: of whoever has this number; null: of all
create or replace function smsretry.keep_rows(phone text default null)
returns integer
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    return cardinality(
        smsretry.keep_words(
            array(
                select row(
                    c.business_id,
                    c.phone,
                    case when (c.phone ~ '\d') is not true then c.id end,
                    'opted_out',
                    c.sms_consent_source::text,
                    c.sms_consent_at,
                    null,
                    null,
                    null
                )::smsretry.word
                from public.customers c
                where (keep_rows.phone is null or c.phone = keep_rows.phone)
                  -- first, because the call would take longer than all the rest
                  and c.sms_consent_status::text ilike '%opted_out%'
                  and smsretry.consent(c.sms_consent_status::text) = 'opted_out'
            ),
            once => true
        )
    );
end
$$;

-- ======== schemas/consent/keep_words.sql ========
-- Keep words of whomever they are said: the number, and the customer who is named. It waits for
-- nobody. An opt-out that changes nothing is not kept: one stands that is no earlier and no easier
-- to take back. Returns the ids of what was kept.
--   everyone: each customer who has the number is named
--   marks: the customers' rows shall say it (smsretry.write_consent)
--   once: an opt-out that was kept before is not kept again, whatever was said after it
create or replace function smsretry.keep_words(
    words smsretry.word[],
    everyone boolean default false,
    marks boolean default false,
    once boolean default false
)
returns bigint[]
language plpgsql set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_generic_plan as $$
declare
    v_now constant timestamptz := smsretry.clock();
    v_key constant bytea := (select s.key from smsretry.secret s);
    v_kept bigint[];
begin
    if words = '{}' then
        return '{}';
    end if;
    with kept as (
        insert into smsretry.consents (
            subject_key,
            business_id,
            customer_id,
            number_key,
            said,
            source,
            at,
            dated,
            senders,
            twilio_sid,
            mark_at
        )
        select distinct on (s.subject_key, w.said, w.source, w.senders)
            s.subject_key,
            w.business_id,
            s.customer_id,
            smsretry.number_key(null, w.phone, v_key),
            w.said,
            left(w.source, 200),
            v_now,
            case
                when w.said in ('opted_out', 'unsure') then coalesce(w.dated, v_now)
                else w.dated
            end,
            w.senders,
            w.twilio_sid,
            case when marks and s.customer_id is not null then v_now end
        from (
            select
                u.*,
                smsretry.number_key(u.business_id, u.phone, v_key) as number_key
            from unnest(words) u
            offset 0
        ) w
        cross join lateral (
            select w.number_key as subject_key, null::uuid as customer_id
            where w.number_key is not null
            union all
            select
                smsretry.number_key(w.business_id, c.id::text, v_key),
                c.id
            from (
                select o.id
                from public.customers o
                where everyone
                  and o.phone = w.phone
                  and (o.business_id = w.business_id) is true -- by the number's index alone
                union
                select o.id
                from public.customers o
                where o.id = w.customer_id
                  and (o.business_id = w.business_id) is true
            ) c
        ) s
        where case
            when w.said in ('opted_out', 'unsure')
                then not exists (
                    select from smsretry.standing_words o
                    where o.subject_key = s.subject_key
                      and o.said = 'opted_out'
                      and (w.senders is null or o.senders <@ w.senders)
                      and (
                          w.said = 'unsure' -- nobody has to read it
                          or o.dated >= coalesce(w.dated, '-infinity')
                              and (
                                  smsretry.start_takes_back(w.source)
                                  or not smsretry.start_takes_back(o.source)
                              )
                      )
                    offset 0
                )
                and not (
                    once
                    and exists (
                        select from smsretry.consents o
                        where o.subject_key = s.subject_key
                          and o.said = 'opted_out'
                          and o.dated >= coalesce(w.dated, '-infinity')
                        offset 0
                    )
                )
                and not exists (
                    select from smsretry.consents i
                    join smsretry.consents r on r.id = w.repeats
                    where i.subject_key = s.subject_key
                      and i.said in ('opted_in', 'unchanged')
                      and i.id + 0 > w.repeats
                      and smsretry.answers(i, r)
                    offset 0
                )
            else true
        end
        order by s.subject_key, w.said, w.source, w.senders, w.dated desc nulls first
        on conflict (twilio_sid, subject_key) where twilio_sid is not null
        do nothing
        returning id
    )
    select array_agg(k.id) into v_kept from kept k;
    return coalesce(v_kept, '{}');
end
$$;

-- ======== schemas/consent/note_sms_number.sql ========
-- Record what a refusal, or a failed delivery, says of its number. It is recorded before the
-- outcome is, so that neither is lost: if this call fails, the text is looked for, and its next
-- refusal says it again. No fence: it is true, whoever has the row. May be repeated. False: the
-- message was delivered after all, nobody has the number any more, or the application's rules
-- refuse the phone_status.
--   opted_out: the number's consent at the business ends
--   phone_status: tells the application what is wrong with the number
create or replace function public.note_sms_number(
    attempt_id uuid,
    opted_out boolean default false,
    phone_status text default null,
    error_code integer default null
)
returns boolean
language plpgsql set search_path = pg_catalog, pg_temp
as $$
declare
    v_attempt record;
begin
    select
        q.business_id,
        a.number_key,
        a.begun_at,
        coalesce(
            a.sent_to,
            case
                when smsretry.number_key(c.business_id, c.phone) = a.number_key
                    then c.phone
            end
        ) as phone
    into v_attempt
    from public.sms_send_attempts a
    join public.sms_retry_queue q on q.id = a.retry_id
    left join public.customers c
        on c.id = q.customer_id and c.business_id = q.business_id
    where a.id = note_sms_number.attempt_id
      and smsretry.delivery_of(a.delivery_status) <> 'delivered';
    if v_attempt.phone is null then
        return false;
    end if;
    if note_sms_number.opted_out then
        perform smsretry.write_consent(
            smsretry.keep_words(
                smsretry.words_at(
                    array[v_attempt.business_id],
                    v_attempt.phone,
                    'opted_out',
                    coalesce('twilio_' || note_sms_number.error_code, 'provider_refusal'),
                    smsretry.clock()
                ),
                everyone => true,
                marks => true
            )
        )
        where not exists (
            -- it is kept already, whatever was said after it
            select from smsretry.consents o
            where o.subject_key = v_attempt.number_key
              and o.said = 'opted_out'
              and o.dated >= v_attempt.begun_at
        );
    elsif note_sms_number.phone_status is not null then
        begin
            update public.customers c
            set phone_status = note_sms_number.phone_status
            where c.id in (
                select o.id
                from public.customers o
                where o.phone = v_attempt.phone
                  and (o.business_id = v_attempt.business_id) is true -- by the number's index
                for no key update skip locked
            );
            set constraints all immediate;
        exception
            when query_canceled or others then -- its error would quote the number
                raise warning 'The customers of attempt % could not be marked after the provider''s %: %',
                    attempt_id,
                    error_code,
                    sqlstate;
                return false;
        end;
    end if;
    return true;
end
$$;

-- ======== schemas/consent/objections.sql ========
-- Find what stands against texts to these customers: the one question, at every door. A row a
-- customer and word, for each customer first what is hardest to take back. What was said of a number
-- before a business knew it counts where it was received (smsretry.concerns), until somebody says
-- something else at that business.
--   businesses, phones, customers: one of each a customer; a customer may be null, for whoever has
--     the number
--   place: which customer, from 1 on
create or replace function smsretry.objections(
    businesses uuid[],
    phones text[],
    customers uuid[]
)
returns table (place bigint, word smsretry.standing_words)
language plpgsql stable set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_generic_plan as $$
declare
    v_key constant bytea := (select s.key from smsretry.secret s);
begin
    return query
    select k.place, w.word
    from (
        select
            t.place,
            t.business_id,
            smsretry.number_key(t.business_id, t.phone, v_key) as number_key,
            smsretry.number_key(t.business_id, t.customer_id::text, v_key) as customer_key,
            smsretry.number_key(null, t.phone, v_key) as anywhere_key
        from unnest(businesses, phones, customers) with ordinality t (business_id, phone, customer_id, place)
        offset 0
    ) k
    cross join lateral (
        select o as word
        from smsretry.standing_words o
        where o.subject_key = any (array[k.number_key, k.customer_key])
        union all
        select o
        from smsretry.standing_words o
        where o.subject_key = k.anywhere_key
          and smsretry.concerns(k.business_id, k.number_key, o.senders)
          and not exists (
              select from smsretry.consents i
              join smsretry.consents w on w.id = o.id
              where i.subject_key = k.number_key
                and i.said in ('opted_in', 'unchanged')
                and i.id + 0 > o.id
                and smsretry.answers(i, w)
              offset 0
          )
    ) w
    order by
        k.place,
        (w.word).said,
        smsretry.start_takes_back((w.word).source),
        (w.word).id;
end
$$;

-- ======== schemas/consent/opt_outs_before.sql ========
-- What rows say that were there before smsretry was.
select smsretry.keep_rows();

-- ======== schemas/consent/receivers_of.sql ========
-- Find the senders that received an incoming text, by the provider's webhook: the service or the
-- number, which may belong to a service, so that the provider stops or starts both; otherwise all
-- senders of the account. An account speaks for its own senders and for no others; a sender that
-- moved is recorded with both accounts, and a START counts at the account that it was last recorded
-- with. Whoever adds a sender in SQL may write its SID in capitals; the first run names the default
-- sender.
--   account: that signed the webhook; null: not told
--   senders: null: nobody knows, and a STOP holds everywhere. So it does while no business has a
--     sender of its own
--   known: the sender itself is known; otherwise a START counts nowhere
create or replace function smsretry.receivers_of(
    number text,
    service text,
    account text,
    is_start boolean,
    out senders text[],
    out known boolean
)
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
    v_number constant text := smsretry.heard_number(receivers_of.number);
    v_account constant text := nullif(lower(btrim(receivers_of.account)), '');
begin
    known := not exists (select from smsretry.business_senders);
    if known then
        return;
    end if;
    senders := (
        select array_agg(distinct s.sent_by)
        from smsretry.senders s
        where lower(s.sent_by) in (v_number, lower(btrim(receivers_of.service)))
          and (lower(s.account) = v_account) is not false
          and not (
              receivers_of.is_start
              and v_account is not null
              and exists (
                  select from smsretry.senders n
                  where lower(n.sent_by) = lower(s.sent_by)
                    and n.created_at > s.created_at
                    and lower(n.account) <> v_account
              )
          )
    );
    known := senders is not null;
    if not known
        and v_account is not null
        and exists (
            select from smsretry.senders s
            where s.named_at is not null
        ) then
        senders := array(
            select s.sent_by
            from smsretry.senders s
            where lower(s.account) = v_account
        );
    end if;
end
$$;

-- ======== schemas/consent/record_inbound_sms.sql ========
-- Record that somebody texted one of our numbers, for the application's webhook. The parameters are
-- Twilio's From, MessageSid, OptOutType, Body, To, MessagingServiceSid and AccountSid.
-- STOP opts the number out at every business that shares the sender which received it, because the
-- provider blocks it there; if nobody knows the sender, at every business. What only may mean stop
-- is kept where a STOP would be, and keeps marketing texts waiting. START takes back what STOP to
-- that sender, or the provider's refusal, did, and answers such words; if nobody knows the sender,
-- nothing (smsretry.receivers_of). YES takes back only what the provider blocks.
-- OptOutType (Advanced Opt-Out) decides if it says STOP or START. Otherwise the body does: words
-- that say stop and nothing else (smsretry.means_stop), or exactly one of the provider's words of
-- START. A text taken for HELP may say stop, not START.
--   answer: opted_out, opted_in, unsure, nothing, already_recorded, or sender_unknown (a START that
--     took nothing back)
--   customers: opted out now, or with consent again
--   cancelled: texts that waited
--   unmarked: customers whose rows a later run marks; what was said holds for them, too
create or replace function public.record_inbound_sms(
    phone text,
    twilio_sid text,
    opt_out_type text default null,
    body text default null,
    to_number text default null,
    messaging_service_sid text default null,
    account_sid text default null
)
returns table (answer text, customers integer, cancelled integer, unmarked integer)
language plpgsql set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    v_phone constant text := smsretry.heard_number(phone);
    v_type constant text := coalesce(
        upper(btrim(left(opt_out_type, 40)) collate "C"),
        ''
    );
    v_word constant text := upper(btrim(left(body, 40), E' \t\r\n') collate "C");
    v_means constant text := smsretry.means_stop(body);
    v_source constant text := case
        -- A YES takes back only what the provider blocks: its own words, one alone (Twilio,
        -- Advanced Opt-Out).
        when v_type = 'STOP'
          or v_type <> 'START'
            and v_word in (
                'STOP',
                'STOPALL',
                'UNSUBSCRIBE',
                'END',
                'QUIT',
                'REVOKE',
                'OPTOUT',
                'CANCEL'
            )
            then 'inbound_stop'
        when v_type = 'START' then 'inbound_start'
        when v_means = 'keyword' then 'inbound_words'
        when v_type = '' and v_word in ('START', 'UNSTOP') then 'inbound_start'
        when v_type = '' and v_word = 'YES' then 'inbound_yes'
        when v_means = 'unsure' then 'inbound_unsure'
    end;
    v_said text := case v_source
        when 'inbound_unsure' then 'unsure'
        when 'inbound_start' then 'opted_in'
        when 'inbound_yes' then 'opted_in'
        else 'opted_out'
    end;
    v_now constant timestamptz := smsretry.clock();
    v_receivers record;
    v_text bigint;
    v_words bigint[];
begin
    if phone is null or not smsretry.is_message_id(twilio_sid) then
        raise exception 'phone must be given, and twilio_sid be the provider''s id of a message'
            using errcode = 'SR422';
    end if;
    answer := 'nothing';
    customers := 0;
    cancelled := 0;
    unmarked := 0;
    if v_source is null or v_phone !~ '\d' then
        return next;
        return;
    end if;
    answer := v_said;
    v_receivers := smsretry.receivers_of(
        to_number,
        messaging_service_sid,
        account_sid,
        v_said = 'opted_in'
    );
    if v_said = 'opted_in' and not v_receivers.known then
        v_said := 'seen';
        answer := 'sender_unknown';
    end if;

    -- the text itself, at whoever gets to know the number
    insert into smsretry.consents (
        subject_key,
        number_key,
        said,
        source,
        at,
        dated,
        senders,
        twilio_sid,
        written_to
    )
    values (
        smsretry.number_key(null, v_phone),
        smsretry.number_key(null, v_phone),
        v_said,
        v_source,
        v_now,
        case when v_said in ('opted_out', 'unsure') then v_now end,
        v_receivers.senders,
        twilio_sid,
        case
            when smsretry.is_message_id(messaging_service_sid)
                then messaging_service_sid
            else smsretry.masked(to_number)
        end
    )
    on conflict (twilio_sid, subject_key) where twilio_sid is not null
    do nothing
    returning id into v_text;
    if v_text is null then
        answer := 'already_recorded';
        return next;
        return;
    end if;

    -- where it counts already
    if v_said in ('opted_out', 'unsure') then
        v_words := smsretry.keep_words(
            smsretry.words_at(
                smsretry.businesses_of(v_phone, v_receivers.senders, account_sid),
                v_phone,
                v_said,
                v_source,
                v_now,
                v_receivers.senders,
                twilio_sid
            ),
            everyone => true,
            marks => v_said = 'opted_out'
        );
    elsif v_said = 'opted_in' then
        v_words := smsretry.start_again(
            v_phone,
            v_source,
            v_receivers.senders,
            twilio_sid
        );
    end if;
    select
        case v_said when 'opted_in' then m.opted_in else m.opted_out end,
        m.cancelled,
        m.unmarked
    into customers, cancelled, unmarked
    from smsretry.write_consent(v_words) m;
    if v_said = 'unsure' and v_words <> '{}' then -- else nobody has to read it yet
        update smsretry.consents c
        set phone = v_phone
        where c.id = v_text;
    elsif v_said in ('opted_out', 'opted_in') then
        perform smsretry.words_answered(v_phone);
    end if;
    return next;
end
$$;

-- ======== schemas/consent/record_sms_consent.sql ========
-- Record that a customer says stop or yes by telephone or letter; for people. Either one also
-- answers the number's words that may mean stop, at that business.
--   phone: an opt-out by number counts also for whoever gets that number later; without a business
--     it is from all of them
--   consent: opted_out, opted_in, or unchanged (the words mean neither). An opt-in is given to one
--     business
--   customer_id: in place of phone: the customer, whatever becomes of the number, and the number at
--     their business. who and because are then needed
--   customers: concerned
--   cancelled: texts that waited
--   unmarked: customers whose rows a later run marks; what was said holds for them, too
--   needs_start: the provider blocks the number all the same, until it texts START
create or replace function public.record_sms_consent(
    phone text,
    consent text,
    source text,
    business_id uuid default null,
    customer_id uuid default null,
    who text default null,
    because text default null
)
returns table (
    customers integer,
    cancelled integer,
    unmarked integer,
    needs_start boolean
)
language plpgsql set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
    k_number constant text := '^[+][1-9][0-9]{6,14}$';
    v_phone text := phone;
    v_business uuid := business_id;
    v_is_number boolean;
    v_businesses uuid[];
    v_customers uuid[];
    v_words bigint[];
begin
    if (consent in ('opted_in', 'opted_out', 'unchanged')) is not true
        or num_nonnulls(phone, customer_id) <> 1
        or phone !~ k_number
        or coalesce(btrim(source), '') = ''
    then
        raise exception 'phone must be E.164, consent opted_in, opted_out or unchanged, and source must say how it is known'
            using errcode = 'SR422',
                  hint = 'A customer_id may take the place of phone.';
    end if;
    if num_nonnulls(customer_id, who, because) > 0 then
        perform smsretry.check_who_and_why(who, because);
    end if;
    if customer_id is not null then
        select c.phone, c.business_id
        into v_phone, v_business
        from public.customers c
        where c.id = customer_id;
        if not found
            or v_business is distinct from coalesce(business_id, v_business)
        then
            raise exception 'No customer has this id'
                using errcode = 'SR404',
                      hint = 'Check it against customers.id, and business_id against the customer''s. Nothing was recorded.';
        end if;
    elsif consent = 'opted_in' and business_id is null then
        raise exception 'A yes is given to one business: name its customer by customer_id'
            using errcode = 'SR422';
    elsif business_id is not null
        and not exists (
            select from public.businesses b
            where b.id = business_id
        ) then
        raise exception 'No business has this id'
            using errcode = 'SR404',
                  hint = 'Check it against businesses.id. Nothing was recorded.';
    end if;

    -- those who share '' or 'n/a' are not one person
    v_is_number := v_phone ~ k_number;
    v_customers := array(
        select c.id
        from public.customers c
        where (v_is_number and c.phone = v_phone or c.id = customer_id)
          and (v_business is null or (c.business_id = v_business) is true)
    );
    if consent = 'opted_in' and v_customers = '{}'
        or consent = 'unchanged'
            and not exists (
                select from smsretry.objections(
                    array(
                        select c.business_id
                        from unnest(v_customers) n (id)
                        join public.customers c on c.id = n.id
                    ) || v_business,
                    array_fill(v_phone, array[cardinality(v_customers) + 1]),
                    v_customers || null::uuid
                ) o
                where (o.word).said = 'unsure'
            )
    then
        raise exception '%',
            case consent
                when 'opted_in' then 'No customer has this number'
                else 'No text of this number waits to be read'
            end
            using errcode = 'SR404',
                  hint = 'Check it against customers.phone, where numbers are stored as E.164. Nothing was recorded.';
    end if;
    v_businesses := case
        when v_business is null then smsretry.businesses_of(v_phone) || null::uuid
        else array[v_business]
    end;
    needs_start := consent = 'opted_in'
        and exists (
            select from smsretry.objections(array[v_business], array[v_phone], array[customer_id]) o
            where smsretry.start_takes_back((o.word).source, true)
        );
    v_words := smsretry.keep_words(
        smsretry.words_at(
            v_businesses,
            v_phone,
            consent,
            source,
            case when consent = 'opted_out' then smsretry.clock() end,
            customer_id => customer_id
        ),
        everyone => v_is_number,
        marks => consent <> 'unchanged'
    );
    select
        case consent when 'opted_in' then m.opted_in else m.opted_out end,
        m.cancelled,
        m.unmarked
    into customers, cancelled, unmarked
    from smsretry.write_consent(v_words) m;
    perform smsretry.words_answered(v_phone, customer_id);
    if who is not null then
        perform smsretry.note_event(
            c.id,
            case consent when 'unchanged' then 'consent_unchanged' else consent end,
            who,
            because,
            case
                when c.id is null then jsonb_build_object('number', smsretry.masked(v_phone))
                else '{}'
            end
        )
        from unnest(coalesce(nullif(v_customers, '{}'), array[null::uuid])) c (id);
    end if;
    return next;
end
$$;

-- ======== schemas/consent/refusals.sql ========
-- Say why texts may not go to their customers at any hour, a row each, in their order. This is the
-- one rule, for begin and for predictions.
--   at: when they may have expired; null: never
--   refused, refused_code: why, for people and for programs; null: the text may go
--   refused_held: a person can mend it, and the text waits; otherwise it ends
create or replace function smsretry.refusals(
    texts smsretry.claimed_retry[],
    at timestamptz default null
)
returns table (refused text, refused_code text, refused_held boolean)
language plpgsql stable set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_generic_plan as $$
begin
    return query
    select
        r.refusal[2],
        r.refusal[1],
        (r.refusal[1] in ('already_sent', 'opted_out', 'not_consented', 'expired')) is not true
    from (
        select
            t.ordinality as place,
            case
                when t.log_says_sent
                    then array['already_sent', 'Already sent']
                when t.sms_consent_status = 'opted_out'
                    then array['opted_out', 'Customer opted out']
                when o.said = 'opted_out'
                    then array[
                        'opted_out',
                        'Customer opted out (it is on record, whatever the customer''s row says; a later opt-in lifts it)'
                    ]
                when coalesce(t.sms_consent_status, 'unknown') = 'unknown'
                    then array['not_consented', 'The customer has not consented to texts']
                when t.expires_at <= refusals.at
                    then array['expired', 'Expired before it could be sent']
                when t.sms_consent_status <> 'opted_in'
                    then array[
                        'consent_unclear',
                        'The customer''s sms_consent_status is none of opted_in, opted_out and unknown'
                    ]
                else coalesce(
                    (
                        select array[
                            s.kind,
                            'The business is stopped by ' || s.who || ': ' || s.why
                        ]
                        from smsretry.stops s
                        where s.kind = 'business_stopped'
                          and s.subject = t.business_id::text
                    ),
                    case
                        when o.said = 'unsure'
                          and t.message_class is distinct from 'transactional'
                            then array[
                                'words_unread',
                                'The customer wrote what may mean stop, and nobody has read it'
                            ]
                    end
                )
            end as refusal
        from unnest(refusals.texts) with ordinality t
        left join (
            select f.place, min((f.word).said) as said -- opted_out outranks unsure
            from smsretry.objections(
                array(select u.business_id from unnest(refusals.texts) u),
                array(select u.phone from unnest(refusals.texts) u),
                array(select u.customer_id from unnest(refusals.texts) u)
            ) f
            group by f.place
        ) o
            on o.place = t.ordinality
        offset 0
    ) r
    order by r.place;
end
$$;

-- ======== schemas/consent/start_again.sql ========
-- Keep a START at the businesses where one of these senders texts and something stands against the
-- number, also a STOP to a sender that the business has left. Returns the ids of what was kept.
--   source: inbound_start or inbound_yes (smsretry.start_takes_back)
--   senders: that received it; null: every one
create or replace function smsretry.start_again(
    phone text,
    source text,
    senders text[],
    twilio_sid text
)
returns bigint[]
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    v_key constant bytea := (select s.key from smsretry.secret s);
    v_business uuid;
    v_customers uuid[];
    v_left text[];
    v_gives_way boolean;
    v_words smsretry.word[] := '{}';
begin
    perform smsretry.keep_rows(phone);
    for v_business in
        select b.id
        from public.businesses b
        where (
            b.id in (
                select c.business_id
                from public.customers c
                where c.phone = start_again.phone
            )
            or exists (
                select from smsretry.standing_words o
                where o.subject_key = smsretry.number_key(b.id, start_again.phone, v_key)
                offset 0
            )
        )
          and (
              start_again.senders is null
              or smsretry.sends_through(b.id, start_again.senders)
          )
    loop
        v_customers := array(
            select c.id
            from public.customers c
            where c.phone = start_again.phone
              and (c.business_id = v_business) is true
        ) || null::uuid;
        select
            -- a null for what was received by a sender that it still has
            array_agg(distinct s.sender),
            bool_and(
                o.said = 'unsure'
                or smsretry.start_takes_back(
                    o.source,
                    start_again.source = 'inbound_yes'
                )
            )
        into v_left, v_gives_way
        from (
            -- the number's words once, and beside them each customer's
            select distinct
                (a.word).said,
                (a.word).source,
                (a.word).senders
            from smsretry.objections(
                array_fill(v_business, array[cardinality(v_customers)]),
                array_fill(null::text, array[cardinality(v_customers) - 1])
                    || start_again.phone,
                v_customers
            ) a
        ) o
        left join unnest(o.senders) s (sender)
            on not smsretry.sends_through(v_business, o.senders);
        -- Nothing stands, or another opt-out does: a customer's row speaks for the number, too.
        continue when v_gives_way is not true
            or exists (
                select from public.customers c
                where c.id = any (v_customers)
                  and smsretry.consent(c.sms_consent_status::text) = 'opted_out'
                  and not smsretry.start_takes_back(
                      c.sms_consent_source::text,
                      start_again.source = 'inbound_yes'
                  )
            );
        v_words := v_words || smsretry.words_at(
            array[v_business],
            start_again.phone,
            'opted_in',
            start_again.source,
            senders => start_again.senders || v_left,
            twilio_sid => start_again.twilio_sid
        );
    end loop;
    return smsretry.keep_words(v_words, everyone => true, marks => true);
end
$$;

-- ======== schemas/consent/unread_words.sql ========
-- List words that may mean stop, the first for each customer whose marketing texts they hold: who is
-- named, who has the number that wrote them, and whose text waits because of them. A view, so that
-- each question plans it anew: PL/pgSQL keeps one plan of a query that has no parameters.
create or replace view smsretry.unread_words with (security_invoker = true) as
select
    (o.word).twilio_sid as twilio_sid,
    (o.word).dated as received_at,
    c.phone::text as phone,
    c.id as customer_id,
    c.business_id
from (
    select w.customer_id
    from smsretry.standing_words w
    where w.said = 'unsure' and w.customer_id is not null
    union
    select k.id
    from smsretry.consents w
    cross join lateral (
        select h.id
        from public.customers h
        where h.phone = w.phone
        offset 0 -- by the number's index, whatever the statistics are
    ) k
    where w.said = 'unsure' and w.phone is not null
    union
    select q.customer_id
    from public.sms_retry_queue q
    where q.work in ('texts', 'suspect') and q.why_code = 'words_unread'
) u
cross join lateral (
    select h.*
    from public.customers h
    where h.id = u.customer_id
    offset 0 -- else all customers may be asked about
) c
cross join lateral (
    select a.word
    from smsretry.objections(array[c.business_id], array[c.phone::text], array[c.id]) a
    limit 1
) o
where (o.word).said = 'unsure'
  and smsretry.consent(c.sms_consent_status::text) is distinct from 'opted_out';

-- ======== schemas/consent/words_answered.sql ========
-- Draw the consequences of what may have answered a number's unread words: texts that were held for
-- them are released, and the number itself is forgotten once nobody has to read them.
create or replace function smsretry.words_answered(phone text, customer_id uuid default null)
returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    v_answered uuid[];
    v_unread uuid[];
begin
    if customer_id is null
        and not exists (
            select from smsretry.consents w
            where w.subject_key = smsretry.number_key(null, words_answered.phone)
              and w.said = 'unsure'
        )
    then
        return; -- the number never wrote any
    end if;
    select
        array_agg(u.id) filter (where not u.is_unread),
        array_agg(u.id) filter (where u.is_unread)
    into v_answered, v_unread
    from (
        select
            c.id,
            exists (
                select from smsretry.objections(
                    array[c.business_id],
                    array[c.phone::text],
                    array[c.id]
                ) o
                where (o.word).said = 'unsure'
            ) as is_unread
        from public.customers c
        where c.phone = words_answered.phone
           or c.id = words_answered.customer_id
    ) u;
    if v_answered is not null then
        perform smsretry.try_release('{words_unread}', v_answered);
    end if;
    if v_unread is null then
        update smsretry.consents w
        set phone = null
        where w.phone = words_answered.phone;
    end if;
end
$$;

-- ======== schemas/consent/words_at.sql ========
-- Write a word as it is said at each of these businesses.
create or replace function smsretry.words_at(
    businesses uuid[],
    phone text,
    said text,
    source text,
    dated timestamptz default null,
    senders text[] default null,
    twilio_sid text default null,
    customer_id uuid default null
)
returns smsretry.word[]
language plpgsql immutable set search_path = pg_catalog, pg_temp as $$
begin
    return array(
        select row(b.id, phone, customer_id, said, source, dated, senders, twilio_sid, null)::smsretry.word
        from unnest(businesses) b (id)
    );
end
$$;

-- ======== schemas/consent/write_consent.sql ========
-- Let customers' rows say what was said of them, and cancel the texts of those who opted out. Words
-- are kept before this, and each send asks for them: what is locked, refused by a rule of the
-- application's, or cut off by a timeout is left to a later run. In no order, so that none always
-- keeps others from theirs.
--   words: ids of smsretry.consents
--   until: when no more is begun
--   opted_out: customers who say so now
--   opted_in: customers who were marked so
--   cancelled: texts that waited
--   unmarked: customers whose rows may not say it yet: a later run marks them
create or replace function smsretry.write_consent(
    words bigint[],
    until timestamptz default clock_timestamp() + interval '2 seconds',
    out opted_out integer,
    out opted_in integer,
    out cancelled integer,
    out unmarked integer
)
language plpgsql set search_path = pg_catalog, pg_temp set lock_timeout = '200ms'
as $$
declare
    v_now constant timestamptz := smsretry.clock();
    v_named record;
    v_business uuid;
    v_consent text;
    v_mark record;
    v_is_out boolean;
    v_texts uuid[];
    v_failed bigint[] := '{}';
begin
    opted_out := 0;
    opted_in := 0;
    cancelled := 0;
    unmarked := 0;
    begin
        for v_named in
            select w.customer_id, array_agg(w.id) as words
            from smsretry.consents w
            where w.id = any (write_consent.words) and w.mark_at is not null
            group by w.customer_id
            order by random()
        loop
            unmarked := unmarked + 1;
            continue when clock_timestamp() > until;
            begin
                select c.business_id, c.sms_consent_status::text
                into v_business, v_consent
                from public.customers c
                where c.id = v_named.customer_id
                for no key update skip locked; -- who holds it may be writing something else
                if not found
                    and exists (
                        select from public.customers c
                        where c.id = v_named.customer_id
                    ) then
                    v_failed := v_failed || v_named.words;
                    continue;
                end if;
                select m.*
                into v_mark
                from smsretry.consent_for(v_named.customer_id) m;
                v_is_out := coalesce(v_mark.status, smsretry.consent(v_consent)) = 'opted_out';
                v_texts := array(
                    select q.id
                    from public.sms_retry_queue q
                    where v_is_out
                      and q.customer_id = v_named.customer_id
                      -- is true: by the customer's index alone; with old statistics that of all
                      -- that waits is walked
                      and (
                          q.status = 'pending' and q.in_doubt_since is null
                      ) is true
                    for update skip locked
                );
                if v_texts <> '{}' then -- else PostgreSQL may read all that waits
                    perform smsretry.save_row(
                        q,
                        v_now,
                        ended => 'cancelled',
                        why => 'Customer opted out',
                        why_code => 'opted_out'
                    )
                    from public.sms_retry_queue q
                    where q.id = any (v_texts);
                end if;
                if v_mark.status is not null then
                    update public.customers c
                    set
                        sms_consent_status = v_mark.status,
                        sms_consent_at = v_mark.at,
                        sms_consent_source = v_mark.source
                    where c.id = v_named.customer_id;
                end if;
                set constraints all immediate; -- a deferred check would undo the word, too
                update smsretry.consents w
                set
                    mark_at = null,
                    was = case when v_mark.status = 'opted_out' then left(v_consent, 40) end
                where w.id = any (v_named.words);
                unmarked := unmarked - 1;
                cancelled := cancelled + cardinality(v_texts);
                opted_out := opted_out + v_is_out::integer;
                opted_in := opted_in + (
                    v_mark.status is not distinct from 'opted_in'
                )::integer;
            exception
                when query_canceled then -- the time is over and is not counted again
                    v_failed := v_failed || v_named.words;
                    until := '-infinity';
                when others then
                    raise warning 'Customer % of business % could not be marked yet: %',
                        v_named.customer_id,
                        v_business,
                        sqlstate;
                    v_failed := v_failed || v_named.words;
            end;
        end loop;
    exception
        -- The time is over between two customers, or the table is not ours to write.
        when query_canceled or others then
            raise warning 'Customers could not be marked yet: %', sqlstate;
            unmarked := greatest(unmarked + opted_out + opted_in, 1);
            opted_out := 0;
            opted_in := 0;
            cancelled := 0;
    end;
    update smsretry.consents w
    set mark_at = v_now + (v_now - w.at) -- after as long as it has been tried
    where w.id = any (v_failed);
end
$$;

-- ======== schemas/scheduled/queue_scheduled.sql ========
-- Make the text of a scheduled send, its send log and its row in the queue, or say why there can be
-- none. The send log has the send's own id, so there is one text at most. Raises if one of the
-- three does not become what it should: the caller keeps the row locked, and undoes all of it.
--   life: how long the text is of use from its time on, if it does not say so itself; null: its
--     claim says so
--   result: queued, cancelled or failed
create or replace function smsretry.queue_scheduled(
    send public.scheduled_sends,
    at timestamptz,
    life interval,
    out result text,
    out why text,
    out retry_id uuid,
    out why_code text
)
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    v_log public.send_logs;
    v_status text;
begin
    select *
    into v_log
    from public.send_logs l
    where l.id = send.id;
    why_code := case
        when not exists (
            select from public.customers c
            where c.id = send.customer_id
              and c.business_id = send.business_id
        )
            then 'no_customer'
        when coalesce(btrim(send.body, E' \t\n\r'), '') = '' then 'no_body'
        when coalesce(
            send.not_after,
            smsretry.on_calendar(send.scheduled_for) + life
        ) <= queue_scheduled.at
            then 'expired'
        when v_log.id is not null
          and (v_log.business_id, v_log.customer_id, v_log.subject::text)
            is distinct from (send.business_id, send.customer_id, send.body)
            then 'id_taken'
    end;
    if why_code is null and v_log.id is null then
        insert into public.send_logs (
            id,
            business_id,
            customer_id,
            channel,
            subject,
            created_at,
            updated_at
        )
        values (
            send.id,
            send.business_id,
            send.customer_id,
            'sms',
            send.body,
            queue_scheduled.at,
            queue_scheduled.at
        );
        -- It is this text's, even if a trigger changed its words.
        select *
        into v_log
        from public.send_logs l
        where l.id = send.id;
        if v_log.id is null then
            raise exception 'its send log was not kept; a trigger on send_logs swallows it, or gives it another id'
                using errcode = 'SR409';
        elsif smsretry.is_sent(v_log.provider_message_id, v_log.status::text) then
            raise exception 'its send log says from the start that the text was sent; send_logs.status needs another default'
                using errcode = 'SR409';
        end if;
    end if;
    if why_code is null then
        result := 'queued';
        select q.retry_id
        into retry_id
        from public.queue_sms_retry(
            send_log_id => send.id,
            scheduled_for => send.scheduled_for,
            expires_in => send.not_after - smsretry.clock(), -- queue_sms_retry adds the clock again
            message_class => send.message_class
        ) q;
    else
        result := case why_code when 'expired' then 'cancelled' else 'failed' end;
        why := case why_code
            when 'no_customer' then 'Customer not found'
            when 'no_body' then 'Text is empty: scheduled_sends.body holds none'
            when 'id_taken'
                then 'Its id is that of another send log: schedule the text anew'
            else 'Expired before it could be sent'
                || case
                    when send.held_since is not null then '. ' || send.why
                    when send.not_after is not null then ''
                    else ': it was due on '
                        || to_char(
                            send.scheduled_for at time zone 'UTC',
                            'YYYY-MM-DD'
                        ) || ' (UTC)'
                end
                || case
                    when exists (
                        select from smsretry.restores r
                        where send.scheduled_for between r.since and r.restored_at
                    )
                        then '. It may have gone out before the database was restored: look in the provider''s log'
                    else ''
                end
        end;
    end if;
    update public.scheduled_sends s
    set
        status = queue_scheduled.result,
        why = left(queue_scheduled.why, smsretry.longest_reason()),
        why_code = queue_scheduled.why_code,
        held_since = null,
        look_at = null,
        send_log_id = case
            when queue_scheduled.why_code is null then s.id
            else s.send_log_id
        end
    where s.id = send.id
    returning s.status
    into v_status;
    if coalesce(v_status = 'scheduled', true) then -- it would be queued again and again
        raise exception 'its row does not become %; a trigger on scheduled_sends swallows or undoes that',
            result
            using errcode = 'SR409';
    end if;
    set constraints all immediate; -- a deferred check would undo the others, too
end
$$;

-- ======== schemas/scheduled/queue_scheduled_sms.sql ========
-- Queue the scheduled sends that are due, limit_count at most (smsretry.rows_of_claim), of the 4 ×
-- as many (800 at least) that have waited longest; who was served longest ago goes first. Each is a
-- subtransaction of its own: send log, queue row and status, or none of them. May be repeated.
--   ahead: also those that are due within this; null: now
--   life: how long a text is of use from its time on, if it does not say so; null: its claim says
--     so
--   without: scheduled sends that were held just now, and businesses that are locked or slow: they
--     are left out
--   result:
--     queued, cancelled: as it says
--     failed: why says the reason
--     held: why says what a person can mend. If a trigger or a rule refuses even that, only this
--       answer says so, and the next call finds the row due again
--     later: its business is locked now, whose other texts are passed over; or one of its triggers
--       took all the time of the call, which ends there
create or replace function public.queue_scheduled_sms(
    limit_count integer default null,
    ahead interval default null,
    life interval default null,
    without uuid[] default '{}'
)
returns table (
    scheduled_id uuid,
    business_id uuid,
    customer_id uuid,
    result text,
    why text,
    retry_id uuid,
    why_code text
)
language plpgsql set search_path = pg_catalog, pg_temp
set enable_sort = off set jit = off
-- If a long transaction holds the business locked, its texts wait, and not the others.
-- statement_timeout: as claim_due_sms_retries
set lock_timeout = '1s' set statement_timeout = '8s' as $$
#variable_conflict use_column
declare
    v_now constant timestamptz := smsretry.clock();
    v_limit constant integer := smsretry.rows_of_claim(limit_count);
    v_until constant timestamptz := v_now + least(
        greatest(coalesce(ahead, interval '0'), interval '0'),
        interval '1 hour'
    );
    v_latest timestamptz := clock_timestamp() + interval '3 seconds';
    v_oldest record;
    v_id uuid;
    v_send public.scheduled_sends;
    v_served uuid[] := '{}';
    v_busy uuid[] := '{}';
    v_table text;
    v_column text;
    v_rule text;
begin
    select
        array_agg(o.id) as ids,
        array_agg(o.business_id) as businesses
    into v_oldest
    from (
        select s.id, s.business_id
        from public.scheduled_sends s
        where s.status = 'scheduled'
          and coalesce(s.look_at, s.scheduled_for) <= v_until
          and s.id <> all (without)
          and s.business_id <> all (without)
        order by coalesce(s.look_at, s.scheduled_for), s.id
        limit 4 * greatest(v_limit, 200)
    ) o;
    foreach v_id in array smsretry.in_turn(
        'scheduled',
        v_oldest.ids,
        v_oldest.businesses
    ) loop
        exit when cardinality(v_served) >= v_limit
            or clock_timestamp() > v_latest; -- the next call takes the rest
        select *
        into v_send
        from public.scheduled_sends s
        where s.id = v_id
          -- is true: by its id alone
          and (
              s.status = 'scheduled'
              and coalesce(s.look_at, s.scheduled_for) <= v_until
              and s.business_id <> all (v_busy)
          ) is true
        for update skip locked;
        continue when not found;
        v_served := v_served || v_send.business_id;
        scheduled_id := v_send.id;
        business_id := v_send.business_id;
        customer_id := v_send.customer_id;
        result := 'later';
        why := null;
        retry_id := null;
        why_code := null;
        begin
            select q.result, q.why, q.retry_id, q.why_code
            into result, why, retry_id, why_code
            from smsretry.queue_scheduled(v_send, v_now, life) q;
        exception
            when query_canceled then
                v_latest := '-infinity'; -- the time is over and is not counted again
            when lock_not_available or deadlock_detected or serialization_failure then
                v_busy := v_busy || v_send.business_id;
            when others then
                get stacked diagnostics
                    v_table = table_name,
                    v_column = column_name,
                    v_rule = constraint_name;
                result := 'held';
                why_code := 'row_refused';
                -- The database's own message may quote the row. Ours, with an SR code, hold only ids.
                why := 'Its text cannot be made: '
                    || case
                        when sqlstate like 'SR%' then sqlerrm
                        else array_to_string(
                            array_remove(array[sqlstate, v_table, v_column, v_rule], ''),
                            ', '
                        )
                            || '. Look at what send_logs and scheduled_sends require beyond smsretry''s columns, and at their triggers'
                    end;
        end;
        if result = 'held' or v_send.business_id = any (v_busy) then
            begin
                -- The next run tries others of its business first.
                update public.scheduled_sends s
                set
                    look_at = v_until + case queue_scheduled_sms.result
                        when 'held' then interval '13 minutes'
                        else interval '30 seconds'
                    end,
                    held_since = coalesce(
                        s.held_since,
                        case queue_scheduled_sms.result when 'held' then v_now end
                    ),
                    why = coalesce(
                        left(queue_scheduled_sms.why, smsretry.longest_reason()),
                        s.why
                    ),
                    why_code = coalesce(queue_scheduled_sms.why_code, s.why_code)
                where s.id = v_id;
                set constraints all immediate;
            exception
                when others then
                    result := 'held';
                    why_code := 'row_refused';
                    why := concat_ws(
                        '. ',
                        why,
                        'Its row cannot be changed (' || sqlstate
                            || '): fix the row, or look at the triggers and rules of scheduled_sends'
                    );
            end;
        end if;
        return next;
    end loop;
    if cardinality(v_served) < cardinality(v_oldest.ids) then
        perform smsretry.note_served('scheduled', v_served, v_now);
    end if;
end
$$;

-- ======== schemas/scheduled/schedule_sms.sql ========
-- Plan a text for a time, when it is checked like every other: consent, permitted hours, caps.
-- Update its row to change it.
--   scheduled_for: a past time means now
--   not_after: when the text is of no more use; null: as any text
--   message_class: null: marketing
--   created_by: the planner
--   id: the caller's own, with which the call may be repeated; null: each call plans another text
--   result: scheduled, or already_scheduled (this id exists and stays as it is)
create or replace function public.schedule_sms(
    business_id uuid,
    customer_id uuid,
    body text,
    scheduled_for timestamptz,
    not_after timestamptz default null,
    message_class text default null,
    created_by uuid default null,
    id uuid default null
)
returns table (scheduled_id uuid, result text, due_at timestamptz)
language plpgsql set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    v_now constant timestamptz := smsretry.clock();
    v_id constant uuid := coalesce(schedule_sms.id, gen_random_uuid());
    v_class constant text := coalesce(schedule_sms.message_class, 'marketing');
    v_problem text;
    v_send public.scheduled_sends;
    v_is_new boolean;
    v_column text;
    v_rule text;
begin
    v_problem := case
        when schedule_sms.scheduled_for is null
            then 'scheduled_for is missing: when is the text to go out?'
        when smsretry.on_calendar(schedule_sms.scheduled_for) is null
            then 'scheduled_for must be a time in this century'
        when schedule_sms.not_after is distinct from smsretry.on_calendar(
            schedule_sms.not_after
        )
            then 'not_after must be a time in this century'
        when schedule_sms.not_after <= greatest(schedule_sms.scheduled_for, v_now)
            then 'not_after must come after scheduled_for, and after now'
        when coalesce(btrim(schedule_sms.body, E' \t\n\r'), '') = ''
            then 'body is empty'
        when length(schedule_sms.body) > smsretry.longest_body()
            then 'body is longer than ' || smsretry.longest_body()
                || ' characters, the most that the provider takes'
        when v_class not in ('marketing', 'transactional')
            then 'message_class must be marketing or transactional'
    end;
    if v_problem is not null then
        raise exception '%', v_problem using errcode = 'SR422';
    end if;
    if not exists (
        select from public.customers c
        where c.id = schedule_sms.customer_id
          and c.business_id = schedule_sms.business_id
    ) then
        raise exception 'There is no customer % at business %',
            schedule_sms.customer_id,
            schedule_sms.business_id
            using errcode = 'SR404',
                  hint = 'Consent and phone number are read there: insert the customer first.';
    end if;

    begin
        insert into public.scheduled_sends (
            id,
            business_id,
            customer_id,
            body,
            scheduled_for,
            not_after,
            message_class,
            status,
            created_by,
            created_at,
            updated_at
        )
        values (
            v_id,
            schedule_sms.business_id,
            schedule_sms.customer_id,
            schedule_sms.body,
            greatest(schedule_sms.scheduled_for, v_now), -- its life counts from there
            schedule_sms.not_after,
            v_class,
            'scheduled',
            schedule_sms.created_by,
            v_now,
            v_now
        )
        on conflict (id)
        do nothing;
        v_is_new := found;
    exception
        when integrity_constraint_violation then
            -- The database's own error would quote the body, also in its log.
            get stacked diagnostics
                v_column = column_name,
                v_rule = constraint_name;
            raise exception 'scheduled_sends does not take the text: %',
                array_to_string(array_remove(array[sqlstate, v_column, v_rule], ''), ', ')
                using errcode = 'SR409',
                      hint = 'Look at what the table requires beyond smsretry''s columns, or insert the row yourself.';
    end;
    select *
    into v_send
    from public.scheduled_sends s
    where s.id = v_id;
    if not v_is_new
        and (v_send.business_id, v_send.customer_id, v_send.body) is distinct from (
            schedule_sms.business_id,
            schedule_sms.customer_id,
            schedule_sms.body
        ) then
        raise exception 'Scheduled send % is another text', v_id
            using errcode = 'SR409',
                  hint = 'Give each text an id of its own.';
    end if;
    return query
    select
        v_send.id,
        case when v_is_new then 'scheduled' else 'already_scheduled' end,
        v_send.scheduled_for;
end
$$;

-- ======== schemas/scheduled/scheduled_send_changed.sql ========
-- Pass an update of a scheduled send on to its text. While it waits, anything may change. Once
-- queued, moving or cancelling it does the same to its text. Where that is too late, or something
-- else is to change, the statement is refused (SR409), so that nobody takes a text for cancelled
-- that goes out. security definer, because an owner may change its scheduled sends and not the
-- queue.
create or replace function smsretry.scheduled_send_changed()
returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
    v_now constant timestamptz := smsretry.clock();
    v_is_moved constant boolean := (new.scheduled_for, new.not_after)
        is distinct from (old.scheduled_for, old.not_after);
    v_is_another constant boolean := (
        new.body,
        new.business_id,
        new.customer_id,
        new.message_class,
        new.send_log_id
    ) is distinct from (
        old.body,
        old.business_id,
        old.customer_id,
        old.message_class,
        old.send_log_id
    );
    v_text public.sms_retry_queue;
    v_obstacle text;
begin
    new.updated_at := v_now;
    if new.status = 'cancelled' and old.status <> 'cancelled' then
        new.held_since := null;
        new.why_code := coalesce(nullif(new.why_code, old.why_code), 'application');
        new.why := left(
            coalesce(nullif(new.why, old.why), 'Cancelled by the application'),
            smsretry.longest_reason()
        );
    end if;
    if old.status <> 'queued' then
        if new.status = 'scheduled' and old.status <> 'scheduled' then
            new.why := null; -- wanted after all
            new.why_code := null;
        end if;
        if v_is_moved or v_is_another then
            new.look_at := null; -- looked at anew
        end if;
    elsif v_is_moved or v_is_another or new.status <> 'queued' then
        if v_is_another or new.status not in ('queued', 'cancelled') then
            raise exception 'Scheduled send % is queued: it can be moved or cancelled, and nothing else',
                old.id
                using errcode = 'SR409',
                      hint = 'Cancel it and schedule another.';
        end if;
        select q.*
        into v_text
        from public.sms_retry_queue q
        where q.send_log_id = old.send_log_id
          and q.business_id = old.business_id
          and q.status in ('pending', 'processing')
        for update;
        v_obstacle := case
            when v_text.id is null then 'has ended'
            when v_text.in_doubt_since is not null
                then 'may have gone out, and evidence is looked for'
            when v_text.status <> 'pending' then 'is with a worker at this moment'
        end;
        if v_obstacle is not null then
            raise exception 'It is too late to change scheduled send %: its text %',
                old.id,
                v_obstacle
                using errcode = 'SR409',
                      hint = 'Leave it out: explain_sms tells what became of it, by its send log.';
        end if;
        if new.status = 'cancelled' then
            perform smsretry.save_row(
                v_text,
                v_now,
                ended => 'cancelled',
                why => new.why,
                why_code => new.why_code
            );
        else
            v_text.expires_at := new.not_after;
            v_text.held_since := null;
            v_text.why := null;
            v_text.why_code := null;
            v_text.reason := null;
            perform smsretry.save_row(v_text, v_now, due => new.scheduled_for);
        end if;
    end if;
    return new;
end
$$;

-- ======== schemas/delivery/claim_sms_deliveries.sql ========
-- Claim accepted messages without a final delivery status, and undelivered ones whose text awaits a
-- decision, of the 4 × as many that have waited longest; who was served longest ago goes first. A
-- failure is due at once.
--   lease: how long the claim lasts
--   without: accounts whose messages stay as they are; '': messages that name none
--   failures: this text's undelivered messages, but for excused ones
--   excused: its other messages, undelivered for what was their sender's
--   moved_on: no decision is needed: the row has not ended with this message, or another of the
--     text waits
--   may_have_arrived: another message of the text may have
--   day_ends_at: when the carriers' day turns over
create or replace function public.claim_sms_deliveries(
    limit_count integer default 1000,
    lease interval default '10 minutes',
    without text[] default '{}'
)
returns table (
    attempt_id uuid,
    asks integer,
    retry_id uuid,
    business_id uuid,
    customer_id uuid,
    send_log_id uuid,
    twilio_sid text,
    accepted_at timestamptz,
    delivery_status text,
    delivery_code integer,
    failures bigint,
    attempt_count integer,
    max_attempts integer,
    expires_at timestamptz,
    moved_on boolean,
    may_have_arrived boolean,
    claimed_at timestamptz,
    sent_account text,
    excused bigint,
    day_ends_at timestamptz
)
language plpgsql set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_custom_plan set enable_seqscan = off set enable_sort = off
set jit = off
as $$
declare
    v_now constant timestamptz := smsretry.clock();
    v_oldest record;
    v_ids uuid[];
    v_served uuid[];
begin
    if (
        claim_sms_deliveries.limit_count between 1 and 10000
        and claim_sms_deliveries.lease >= interval '0'
    ) is not true
    then
        raise exception 'limit_count must be 1 to 10000, and lease 0 or more'
            using errcode = 'SR422';
    end if;
    select
        array_agg(o.id) as ids,
        array_agg(o.business_id) as businesses
    into v_oldest
    from (
        select a.id, a.business_id
        from public.sms_send_attempts a
        where a.sent_to is null
          and a.delivery_ask_at <= v_now
          and coalesce(a.sent_account, '') <> all (claim_sms_deliveries.without)
        order by a.sent_to, a.delivery_ask_at
        limit 4 * claim_sms_deliveries.limit_count
    ) o;
    select
        coalesce(array_agg(t.id), '{}'),
        array_agg(t.business_id)
    into v_ids, v_served
    from (
        select a.id, a.business_id
        from unnest(
            smsretry.in_turn('deliveries', v_oldest.ids, v_oldest.businesses)
        ) with ordinality as u (id, place)
        join public.sms_send_attempts a on a.id = u.id
        where a.delivery_ask_at <= v_now
        order by u.place
        limit claim_sms_deliveries.limit_count
        for update of a skip locked
    ) t;
    if cardinality(v_ids) < cardinality(v_oldest.ids) then
        perform smsretry.note_served('deliveries', v_served, v_now);
    end if;
    return query
    with taken as (
        update public.sms_send_attempts a
        set
            delivery_ask_at = v_now + claim_sms_deliveries.lease,
            delivery_asks = a.delivery_asks + 1
        where a.id = any (v_ids)
        returning a.*
    )
    select
        t.id,
        t.delivery_asks,
        q.id,
        q.business_id,
        q.customer_id,
        q.send_log_id,
        t.twilio_sid,
        t.finished_at,
        t.delivery_status::text,
        t.delivery_code,
        counts.failures,
        greatest(q.attempt_count, t.attempt_number),
        q.max_attempts,
        q.expires_at,
        q.status <> 'completed'
            or smsretry.found_sid(
                l.provider_message_id
            ) is distinct from t.twilio_sid
            or exists (
                select from public.sms_retry_queue o
                where o.send_log_id = q.send_log_id
                  and o.status in ('pending', 'processing')
            ),
        smsretry.may_have_arrived(q.send_log_id, t.id),
        v_now,
        t.sent_account,
        counts.excused,
        smsretry.carriers_midnight(v_now)
    from unnest(v_ids) with ordinality as u (id, turn)
    join taken t on t.id = u.id
    join public.sms_retry_queue q on q.id = t.retry_id
    left join public.send_logs l on l.id = q.send_log_id
    cross join lateral (
        select
            count(*) filter (
                where a.id = t.id
                  or smsretry.is_lost(a.delivery_status)
                      and not a.delivery_excused
            ) as failures,
            count(*) filter (
                where a.id <> t.id and a.delivery_excused
            ) as excused
        from public.sms_send_attempts a -- an array, so that an index finds them without statistics
        where a.retry_id = any (
            array(
                select o.id
                from public.sms_retry_queue o
                where o.send_log_id = q.send_log_id
            )
        )
    ) counts
    order by u.turn;
end
$$;

-- ======== schemas/delivery/finish_sms_delivery.sql ========
-- Record what the provider said of a message, and what follows. May be repeated.
--   delivery_status, error_code: what the provider reports
--   decision:
--     ask_again: nothing final yet; ask again in ask_in
--     close: nothing follows: it was delivered, or another message of the text counts, or (with
--       delivery_status unknown) the provider reported nothing final for long enough
--     send_again: it did not arrive: the row is queued again, due in due_in, with every check
--       made anew
--     give_up: it did not arrive: the row fails with why
--   ask_in: also with send_again and give_up, because an undelivered message may still arrive
--   counted: whether a message that is sent again was an attempt and a failed delivery; not if the
--     trouble is its sender's
--   held: whether that trouble is something that a person can mend
-- It returns
--   applied: it is recorded
--   claim_lost: another run or a callback settled it
--   changed: the decision no longer fits, or was applied before: the provider is asked again
create or replace function public.finish_sms_delivery(
    attempt_id uuid,
    asks integer,
    decision text,
    delivery_status text default null,
    error_code integer default null,
    ask_in interval default null,
    due_in interval default null,
    why text default null,
    why_code text default null,
    counted boolean default true,
    held boolean default false
)
returns text
language plpgsql set search_path = pg_catalog, pg_temp
set lock_timeout = '2s' as $$ -- as smsretry.fenced
#variable_conflict use_variable
declare
    v_row public.sms_retry_queue;
    v_attempt public.sms_send_attempts;
    v_now timestamptz;
    v_fails constant boolean := decision in ('send_again', 'give_up');
    v_trouble text;
begin
    if (
        decision in ('ask_again', 'close', 'send_again', 'give_up')
    ) is not true
        or decision = 'ask_again' and ask_in is null
        or decision = 'send_again' and due_in is null
        or v_fails and why is null
    then
        raise exception 'decision must be ask_again (with ask_in), close, send_again (with due_in and why) or give_up (with why)'
            using errcode = 'SR422';
    end if;
    select *
    into v_row
    from public.sms_retry_queue q
    where q.id = (
        select a.retry_id
        from public.sms_send_attempts a
        where a.id = attempt_id
    )
    for update;
    v_now := smsretry.clock();
    select *
    into v_attempt
    from public.sms_send_attempts a
    where a.id = attempt_id
    for update;
    if (v_attempt.delivery_asks = asks) is not true then
        return 'claim_lost';
    elsif v_attempt.delivery_ask_at is null then
        -- the answer to the same call was lost on its way, or a callback was faster
        return 'applied';
    end if;
    perform smsretry.record_delivery(
        v_attempt.id,
        delivery_status,
        error_code,
        v_now
    );
    select *
    into v_attempt
    from public.sms_send_attempts a
    where a.id = v_attempt.id;
    if v_attempt.delivery_ask_at is null then
        return case when v_fails then 'changed' else 'applied' end; -- delivered
    end if;
    -- It acts on a failure, and the text may have arrived or waits again; or it saw none, and a
    -- callback has reported one since.
    if (
        case
            when v_fails
                then not smsretry.is_lost(v_attempt.delivery_status)
                    or v_row.status <> 'completed'
                    or smsretry.may_have_arrived(v_row.send_log_id, v_attempt.id)
                    or exists (
                        select from public.sms_retry_queue q
                        where q.send_log_id = v_row.send_log_id
                          and q.status in ('pending', 'processing')
                    )
            else smsretry.is_lost(v_attempt.delivery_status)
                and not smsretry.is_lost(delivery_status)
                and v_attempt.delivery_ask_at <= v_now
        end
    ) then
        return 'changed';
    end if;
    update public.sms_send_attempts a
    set
        delivery_ask_at = v_now + ask_in,
        delivery_excused = a.delivery_excused
            or decision = 'send_again' and not counted
    where a.id = v_attempt.id;
    if decision = 'send_again' then
        -- First, because a log that still says sent would end the text unsent.
        v_trouble := smsretry.update_log(
            v_row.send_log_id,
            '{null,failed}',
            null,
            why,
            v_now
        );
        if v_trouble is not null then
            raise exception 'Send log % cannot be told that its text waits: %',
                v_row.send_log_id,
                v_trouble
                using errcode = 'SR409',
                      hint = 'Look at the rules and triggers of send_logs. It is tried again when the lease of this look is over.';
        end if;
        v_row.attempt_count := case
            when counted
                then greatest(v_row.attempt_count, v_attempt.attempt_number)
            else greatest(v_attempt.attempt_number - 1, 0)
        end;
        v_row.last_error := why;
        v_row.error_code := v_attempt.delivery_code;
        v_row.reason := 'twilio_error';
        v_row.why := case when not counted then why end;
        v_row.held_since := case when held then v_now end;
        v_row.why_code := why_code;
        v_row.recover_count := 0;
        v_row.reconcile_count := 0;
        perform smsretry.save_row(v_row, v_now, due => v_now + due_in);
    elsif decision = 'give_up' then
        perform smsretry.save_row(
            v_row,
            v_now,
            ended => 'failed',
            why => why,
            why_code => why_code,
            code => v_attempt.delivery_code
        );
        perform smsretry.update_log(
            v_row.send_log_id,
            '{undelivered,sent}',
            v_attempt.twilio_sid,
            why,
            v_now
        );
    end if;
    return 'applied';
end
$$;

-- ======== schemas/delivery/may_have_arrived.sql ========
-- Say whether another message of the text is, or may get, on the phone: under way, in doubt, or
-- accepted and not lost. Such a text is never sent again.
--   but_for: the attempt that is not asked about
create or replace function smsretry.may_have_arrived(send_log_id uuid, but_for uuid)
returns boolean
language sql stable set search_path = pg_catalog, pg_temp as $$
    select exists (
        select from public.sms_send_attempts a
        -- An array, so that an index finds them without statistics.
        where a.retry_id = any (
            array(
                select q.id
                from public.sms_retry_queue q
                where q.send_log_id = may_have_arrived.send_log_id
            )
        )
          and a.id is distinct from may_have_arrived.but_for
          and (
              coalesce(a.outcome, 'in_doubt') = 'in_doubt'
              or a.outcome = 'accepted'
                  and not smsretry.is_lost(a.delivery_status)
          )
    )
$$;

-- ======== schemas/delivery/record_delivery.sql ========
-- Record what the provider reports of a message; true if that is news. Reports may come late, twice
-- and in any order. A failure is due for a decision at once. A delivery ends the matter and takes
-- back a failure or a cancellation.
create or replace function smsretry.record_delivery(
    attempt_id uuid,
    status text,
    code integer,
    at timestamptz
)
returns boolean
language plpgsql set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_variable
declare
    -- a failure is due first: its text may still arrive in time
    k_before_all constant interval := '3 days';
    v_rank constant integer := smsretry.delivery_rank(status);
    v_lost constant boolean := smsretry.is_lost(status);
    v_arrived constant boolean := smsretry.delivery_of(status) = 'delivered';
    v_known_rank integer;
    v_attempt public.sms_send_attempts;
    v_row public.sms_retry_queue;
    v_other public.sms_retry_queue;
begin
    select *
    into v_attempt
    from public.sms_send_attempts a
    where a.id = attempt_id
    for update;
    select *
    into v_row
    from public.sms_retry_queue q
    where q.id = v_attempt.retry_id;
    v_known_rank := coalesce(smsretry.delivery_rank(v_attempt.delivery_status), 0);
    if v_lost
        and v_rank = v_known_rank
        and v_attempt.delivery_code is null
    then -- the report that said why came second
        update public.sms_send_attempts a
        set delivery_code = code
        where a.id = v_attempt.id;
        return code is not null;
    end if;
    if (v_rank > v_known_rank) is not true then
        return false;
    end if;
    update public.sms_send_attempts a
    set
        delivery_status = status,
        delivery_at = at,
        delivery_code = case when v_lost then code end,
        delivery_ask_at = case
            when v_lost then at - k_before_all
            when not v_arrived and status <> 'unknown' then a.delivery_ask_at
        end
    where a.id = v_attempt.id;

    if v_lost
        and v_attempt.twilio_sid = (
            select smsretry.found_sid(l.provider_message_id)
            from public.send_logs l
            where l.id = v_row.send_log_id
        ) then
        perform smsretry.update_log(
            v_row.send_log_id,
            '{undelivered,sent}',
            v_attempt.twilio_sid,
            coalesce('Not delivered: code ' || code, 'Not delivered'),
            at
        );
    elsif v_arrived
        and smsretry.delivery_of(v_attempt.delivery_status) <> 'delivered'
    then
        -- It was to be sent again, given up or cancelled, or the text was queued anew. A send that
        -- is under way ends by itself.
        for v_other in
            select q.*
            from public.sms_retry_queue q
            where q.send_log_id = v_row.send_log_id
              and q.business_id = v_row.business_id
              -- is true: by its text alone; with old statistics an index of all that waits is
              -- walked
              and (
                  q.status = 'pending' and q.in_doubt_since is null
                  or q.id = v_row.id and q.status in ('failed', 'cancelled')
              ) is true
            for update
        loop
            perform smsretry.save_row(
                v_other,
                at,
                ended => 'completed',
                sid => v_attempt.twilio_sid, -- earlier reports of it stay
                why => case v_other.status
                    when 'failed'
                        then 'It was delivered after all. Before that it had failed: '
                    when 'cancelled'
                        then 'It was delivered after all. Before that it had been cancelled: '
                end || coalesce(v_other.last_error, 'no reason was kept')
            );
        end loop;
        perform smsretry.update_log(
            v_row.send_log_id,
            '{delivered,sent}',
            v_attempt.twilio_sid,
            null,
            at
        );
    end if;
    return true;
end
$$;

-- ======== schemas/senders/add_sms_sender.sql ========
-- Give a business a sender, for all its texts or those of one class, from now on; for a person. A
-- sender that is known already is shared, and keeps its rate and cap. A text that is under way ends
-- where it began. Returns: smsretry.sender_changed.
--   account, sent_by: the provider's ids, or a number of ours in E.164. The adapter knows their
--     exact shapes. No value is quoted: it may be somebody's number
--   message_class: null: any; one of a class outranks it
--   segments_per_second, segments_per_day: null: not limited here
--   replace: take the place of an active sender; a paused one is always replaced
--   dry_run: check all this, and do nothing
create or replace function public.add_sms_sender(
    business_id uuid,
    account text,
    sent_by text,
    message_class text default null,
    segments_per_second double precision default null,
    segments_per_day integer default null,
    who text default null,
    because text default null,
    replace boolean default false,
    dry_run boolean default false
)
returns table (sender_id uuid, sender text, businesses integer, released integer)
language plpgsql set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
    v_class constant text := coalesce(message_class, 'any');
    v_problem text;
    v_sender smsretry.senders;
    v_earlier smsretry.senders;
begin
    perform smsretry.check_who_and_why(who, because);
    v_problem := case
        when v_class not in ('any', 'marketing', 'transactional')
            then 'message_class must be marketing or transactional; leave it out for both'
        when not exists (
            select from public.businesses b
            where b.id = business_id
        )
            then 'There is no business with this id'
        when (
            account ~ '^[A-Za-z0-9]{8,64}$' and account ~ '[A-Za-z]'
        ) is not true
            then 'account must be the account''s id, as the provider shows it'
        when (
            sent_by ~ '^([A-Za-z0-9]{8,64}|[+][1-9][0-9]{6,14})$'
            and sent_by ~ '[+A-Za-z]'
            and sent_by <> account
        ) is not true
            then 'sent_by must be the sender''s id, as the provider shows it, or a number in E.164 (+12125550100)'
    end;
    if v_problem is not null then
        raise exception '%', v_problem using errcode = 'SR422';
    end if;
    perform smsretry.check_limits(segments_per_second, segments_per_day);
    -- one order after another; claims only read
    lock table smsretry.business_senders in share row exclusive mode;
    begin
        insert into smsretry.senders as s (
            account,
            sent_by,
            segments_per_second,
            segments_per_day
        )
        values (account, sent_by, segments_per_second, segments_per_day)
        on conflict on constraint senders_one
        do update set account = s.account
        returning s.*
        into v_sender;
        if segments_per_second is not null
            and segments_per_second is distinct from v_sender.segments_per_second
            or segments_per_day is not null
                and segments_per_day is distinct from v_sender.segments_per_day
        then
            raise exception 'This sender has another rate or cap already (% a second, % a day): leave both out to share it as it is, or use change_sms_sender',
                coalesce(v_sender.segments_per_second::text, 'no limit'),
                coalesce(v_sender.segments_per_day::text, 'no limit')
                using errcode = 'SR422';
        end if;
        select s.*
        into v_earlier
        from smsretry.business_senders b
        join smsretry.senders s on s.id = b.sender_id
        where b.business_id = business_id
          and b.message_class = v_class;
        if v_earlier.id <> v_sender.id
            and v_earlier.paused_at is null
            and replace is not true
        then
            raise exception 'This business already has an active sender for % texts: % of account %. Replace it (replace => true, or --replace), or remove or pause it first',
                v_class,
                smsretry.shown_sender(v_earlier.sent_by),
                v_earlier.account
                using errcode = 'SR422';
        end if;
        insert into smsretry.business_senders (
            business_id,
            message_class,
            sender_id
        )
        values (business_id, v_class, v_sender.id)
        on conflict on constraint business_senders_pkey
        do update set sender_id = excluded.sender_id;
        select *
        into sender_id, sender, businesses, released
        from smsretry.sender_changed(
            v_sender,
            'added',
            who,
            because,
            business_id,
            v_class
        );
        if dry_run then -- it has been tried, and is undone
            raise exception 'rolled back' using errcode = 'SR001';
        end if;
    exception
        when sqlstate 'SR001' then
            released := 0;
    end;
    return next;
end
$$;

-- ======== schemas/senders/change_sms_sender.sql ========
-- Change a sender, for all who share it; for a person. Null leaves each value as it is. Returns:
-- smsretry.sender_changed.
--   named: its id, SID or number
--   segments_per_second, segments_per_day: another rate or cap; 0: no longer limited here
--   paused: true: its texts wait, visibly, and one that is under way goes out. false: what was
--     wrong with it is mended: its pause ends, and nothing of it is stopped any more
create or replace function public.change_sms_sender(
    named text,
    segments_per_second double precision default null,
    segments_per_day integer default null,
    paused boolean default null,
    who text default null,
    because text default null
)
returns table (sender_id uuid, sender text, businesses integer, released integer)
language plpgsql set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
    v_sender smsretry.senders;
begin
    perform smsretry.check_who_and_why(who, because);
    perform smsretry.check_limits(
        nullif(segments_per_second, 0),
        nullif(segments_per_day, 0)
    );
    if num_nonnulls(segments_per_second, segments_per_day, paused) = 0 then
        raise exception 'Say what changes: the rate (segments_per_second), the cap (segments_per_day), or paused'
            using errcode = 'SR422';
    end if;
    begin
        update smsretry.senders s
        set
            segments_per_second = nullif(
                coalesce(segments_per_second, s.segments_per_second),
                0
            ),
            segments_per_day = nullif(
                coalesce(segments_per_day, s.segments_per_day),
                0
            ),
            -- Slots were reserved at the old rate.
            free_at = case when segments_per_second is null then s.free_at end,
            paused_at = case
                when paused then coalesce(s.paused_at, smsretry.clock())
                when paused is null then s.paused_at
            end,
            why_paused = case
                when paused then because
                when paused is null then s.why_paused
            end
        where s.sent_by = named or s.id::text = lower(named)
        returning s.*
        into strict v_sender;
    exception
        when no_data_found then
            raise exception 'There is no such sender: look at the list of senders'
                using errcode = 'SR422',
                      hint = 'The default sender is listed once a worker has run.';
        when too_many_rows then
            raise exception 'Two accounts have this sender: name it by its id, as the list of senders has it'
                using errcode = 'SR422';
    end;
    if not paused then
        delete from smsretry.stops x
        where x.kind = 'sender' and x.subject = v_sender.id::text
          or x.kind = 'business'
              and x.subject in (
                  select b.business_id::text
                  from smsretry.business_senders b
                  where b.sender_id = v_sender.id
              );
    end if;
    return query
    select *
    from smsretry.sender_changed(
        v_sender,
        case
            when paused then 'paused'
            when not paused then 'resumed'
            else 'changed'
        end,
        who,
        because
    );
end
$$;

-- ======== schemas/senders/check_limits.sql ========
-- Refuse a rate or a cap that is none, before the table does, whose error would quote the sender's
-- number.
create or replace function smsretry.check_limits(
    segments_per_second double precision,
    segments_per_day integer
)
returns void
language plpgsql immutable set search_path = pg_catalog, pg_temp as $$
begin
    if not (segments_per_second between 0.01 and 1000)
        or segments_per_day < 1
    then
        raise exception 'segments_per_second must be 0.01 to 1000, and segments_per_day must be at least 1: to stop a sender, pause it'
            using errcode = 'SR422';
    end if;
end
$$;

-- ======== schemas/senders/remove_sms_sender.sql ========
-- Take its sender away from a business, whose texts go out from the default sender again; those of
-- a class, from the business's sender for any class if it has one. For a person. Returns:
-- smsretry.sender_changed.
create or replace function public.remove_sms_sender(
    business_id uuid,
    message_class text default null,
    who text default null,
    because text default null
)
returns table (sender_id uuid, sender text, businesses integer, released integer)
language plpgsql set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
    v_class constant text := coalesce(message_class, 'any');
    v_sender smsretry.senders;
begin
    perform smsretry.check_who_and_why(who, because);
    lock table smsretry.business_senders in share row exclusive mode; -- as add_sms_sender
    delete from smsretry.business_senders b
    using smsretry.senders s
    where b.business_id = business_id
      and b.message_class = v_class
      and s.id = b.sender_id
    returning s.*
    into v_sender;
    if v_sender.id is null then
        raise exception 'This business has no sender of its own for % texts',
            v_class
            using errcode = 'SR422',
                  hint = 'The list of senders has those that there are.';
    end if;
    return query
    select *
    from smsretry.sender_changed(
        v_sender,
        'removed',
        who,
        because,
        business_id,
        v_class
    );
end
$$;

-- ======== schemas/senders/sender_changed.sql ========
-- Draw the consequences of an order about a sender. An event says who gave it and why. Senders that
-- no business uses, and that never were the default sender, are deleted (attempts keep theirs).
-- Texts that wait because of their sender are released, business by business for three seconds.
--   business_id: whose sender it became or was; null: all who use it
--   businesses: how many use it now
--   released: texts that became due
create or replace function smsretry.sender_changed(
    changed smsretry.senders,
    what text,
    who text,
    because text,
    business_id uuid default null,
    message_class text default null,
    out sender_id uuid,
    out sender text,
    out businesses integer,
    out released integer
)
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    v_until constant timestamptz := clock_timestamp() + interval '3 seconds';
    v_users uuid[];
    v_business uuid;
begin
    sender_id := changed.id;
    sender := smsretry.shown_sender(changed.sent_by);
    perform smsretry.note_event(
        changed.id,
        sender_changed.what,
        sender_changed.who,
        sender_changed.because,
        jsonb_build_object(
            'account', changed.account,
            'sender', sender_changed.sender,
            'business_id', sender_changed.business_id,
            'message_class', sender_changed.message_class
        )
    );
    if sender_changed.what in ('added', 'removed') then -- the caller has locked business_senders
        with gone as (
            delete from smsretry.senders s
            where s.named_at is null
              and not exists (
                  select from smsretry.business_senders b
                  where b.sender_id = s.id
              )
            returning s.id
        )
        delete from smsretry.stops x
        using gone g
        where x.kind = 'sender' and x.subject = g.id::text;
    end if;
    v_users := array(
        select b.business_id
        from smsretry.business_senders b
        where b.sender_id = changed.id
        -- the default sender: who has none for texts of each class
        union
        select b.id
        from public.businesses b
        where changed.id = (smsretry.sender_of(null, 'marketing')).id
          and (
              select count(*)
              from smsretry.own_senders o
              where o.business_id = b.id
          ) < 2
    );
    businesses := cardinality(v_users);
    released := 0;
    if sender_changed.what = 'paused' then
        return;
    end if;
    foreach v_business in array case
        when sender_changed.business_id is null then v_users
        else array[sender_changed.business_id]
    end
    loop
        exit when clock_timestamp() > v_until;
        released := released + smsretry.try_release(
            smsretry.why_codes_of('sender', 'sender_limit'),
            businesses => array[v_business]
        );
    end loop;
end
$$;

-- ======== schemas/senders/sms_senders.sql ========
-- List the senders, in pages; for a person.
--   after_id: of the last sender of the page before
--   with_numbers: show sent_by, to who may read numbers
--   business_id: only those that text for it
--   troubled: only those that keep texts waiting, do not send, or are too slow for what is due
--   sender, sent_by: as people see it, and all of it
--   named_at: of the default sender alone: when a run last named it
--   used_today: until day_ends_at
--   businesses: how many use it; of the default sender, how many have texts there
--   used_by: the names of 20 of them, those with the most texts first
--   why_code, why: why its texts wait
--   since: when it was paused or stopped
--   held: texts that wait for a person
create or replace function public.sms_senders(
    after_id uuid default null,
    row_limit integer default null,
    with_numbers boolean default false,
    business_id uuid default null,
    troubled boolean default false
)
returns table (
    sender_id uuid,
    account text,
    sender text,
    sent_by text,
    named_at timestamptz,
    segments_per_second double precision,
    segments_per_day integer,
    used_today bigint,
    day_ends_at timestamptz,
    businesses bigint,
    used_by text[],
    why_code text,
    why text,
    since timestamptz,
    due bigint,
    waiting bigint,
    held bigint
)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_custom_plan as $$
#variable_conflict use_column
declare
    v_now constant timestamptz := smsretry.clock();
    v_limit constant integer := greatest(
        smsretry.rows_of_claim(coalesce(sms_senders.row_limit, 1000)),
        1
    );
    v_midnight constant timestamptz := smsretry.carriers_midnight(v_now);
    v_with_numbers constant boolean := sms_senders.with_numbers
        and smsretry.may_read_numbers();
    v_default constant uuid := (smsretry.sender_of(null, null)).id;
    v_codes constant text[] := smsretry.why_codes_of('sender', 'sender_limit');
begin
    return query
    with states as materialized (
        select
            s.*,
            case when s.day_ends_at = v_midnight then s.day_segments else 0 end as used_today,
            coalesce(s.paused_at, x.since) as since,
            coalesce(smsretry.numberless(s.why_paused), x.why) as why
        from smsretry.senders s
        left join smsretry.stops x
            on x.kind = 'sender' and x.subject = s.id::text
    ),
    texts as (
        select
            q.business_id,
            q.message_class,
            count(*) filter (
                where q.held_since is null and q.scheduled_for <= v_now
            ) as due,
            count(*) filter (
                where q.held_since is null and q.scheduled_for > v_now
            ) as waiting,
            count(*) filter (where q.held_since is not null) as held,
            mode() within group (order by q.why_code::text) filter (
                where q.why_code = any (v_codes)
            ) as why_code,
            mode() within group (
                order by left(smsretry.numberless(coalesce(q.why, q.last_error)), 200)
            ) filter (where q.why_code = any (v_codes)) as why
        from public.sms_retry_queue q
        where q.work in ('texts', 'suspect')
          and q.in_doubt_since is null
          and (
              not sms_senders.troubled
              or q.business_id = any (
                  array(
                      -- of businesses that may have trouble alone: a million texts may wait
                      select b.business_id
                      from states s
                      join smsretry.business_senders b on b.sender_id = s.id
                      where s.since is not null
                         or s.used_today >= s.segments_per_day
                      union
                      select h.business_id
                      from public.sms_retry_queue h
                      where h.work in ('texts', 'suspect')
                        and h.held_since is not null
                        and h.why_code = any (smsretry.why_codes_of('sender'))
                      union
                      select d.business_id
                      from public.sms_retry_queue d
                      where d.work = 'texts'
                        and d.scheduled_for <= v_now
                        and exists (
                            select from states s
                            where s.segments_per_second is not null
                        )
                  )
              )
          )
        group by q.business_id, q.message_class
    ),
    users as (
        select
            u.sender_id,
            u.business_id,
            sum(u.due) as due,
            sum(u.waiting) as waiting,
            sum(u.held) as held,
            min(u.why_code) as why_code,
            min(u.why) as why,
            row_number() over (
                partition by u.sender_id
                order by
                    u.business_id = sms_senders.business_id desc,
                    sum(u.held) desc,
                    sum(u.due) desc,
                    sum(u.waiting) desc,
                    u.business_id
            ) as place
        from (
            select (smsretry.sender_of(t.business_id, t.message_class)).id as sender_id, t.*
            from texts t
            union all
            select b.sender_id, b.business_id, b.message_class, 0, 0, 0, null, null
            from smsretry.business_senders b
        ) u
        group by u.sender_id, u.business_id
    ),
    totals as (
        select
            u.sender_id,
            count(*) as businesses,
            array_agg(
                coalesce(left(b.name, 200), u.business_id::text)
                order by u.place
            ) filter (where u.place <= 20) as used_by,
            sum(u.due)::bigint as due,
            sum(u.waiting)::bigint as waiting,
            sum(u.held)::bigint as held,
            (
                array_agg(u.why_code order by u.place) filter (
                    where u.why_code is not null
                )
            )[1] as why_code,
            (
                array_agg(u.why order by u.place) filter (
                    where u.why_code is not null
                )
            )[1] as why
        from users u
        left join public.businesses b on b.id = u.business_id
        group by u.sender_id
    )
    select
        s.id,
        s.account,
        smsretry.shown_sender(s.sent_by),
        case when v_with_numbers then s.sent_by end,
        case when s.id = v_default then s.named_at end,
        s.segments_per_second,
        s.segments_per_day,
        s.used_today,
        v_midnight,
        coalesce(t.businesses, 0),
        coalesce(t.used_by, '{}'),
        case
            when s.paused_at is not null then 'sender_paused'
            when s.since is not null then 'sending_stopped'
            when s.used_today >= s.segments_per_day and t.due + t.waiting + t.held > 0
                then 'day_spent'
            when t.why_code is not null then t.why_code
            when t.due >= s.segments_per_second * extract(
                epoch from smsretry.late_after()
            )
                then 'sender_rate'
        end,
        coalesce(s.why, t.why),
        s.since,
        coalesce(t.due, 0),
        coalesce(t.waiting, 0),
        coalesce(t.held, 0)
    from states s
    left join totals t on t.sender_id = s.id
    where s.id > coalesce(
        sms_senders.after_id,
        '00000000-0000-0000-0000-000000000000'
    )
      and (
          sms_senders.business_id is null
          or s.id in (
              select (smsretry.sender_of(sms_senders.business_id, k.class)).id
              from unnest(array['marketing', 'transactional']) k (class)
          )
      )
      and (
          not sms_senders.troubled
          or s.since is not null
          or t.due + t.waiting + t.held > 0
      )
    order by s.id
    limit v_limit;
end
$$;

-- ======== schemas/records/guard_attempt.sql ========
-- Keep the rules of an attempt, as smsretry.guard_row keeps those of a row.
create or replace function smsretry.guard_attempt()
returns trigger
language plpgsql set search_path = pg_catalog, pg_temp
as $$
declare
    v_broken text;
begin
    v_broken := case
        when (new.finished_at is null) <> (new.outcome is null)
            then 'finished' -- they are set together
        when (new.outcome = 'accepted') is not true and new.twilio_sid is not null
            or new.outcome = 'accepted' and new.twilio_sid is null and new.settled_by = 'response'
            -- Only an accepted message has a SID. A response without one accepts nothing; a send log
            -- that says sent needs none.
            then 'sid'
        when new.outcome <> 'in_doubt' and (new.sent_to is not null or new.sent_body is not null)
            then 'private' -- they are kept only while evidence may be compared with them
        when new.twilio_sid is null
            and (new.delivery_status is not null or new.delivery_ask_at is not null)
            or (new.delivery_status is null) <> (new.delivery_at is null)
            or new.delivery_code is not null
                and (new.delivery_status in ('undelivered', 'failed', 'canceled')) is not true
            -- Only a message with a SID is reported on, and only a failure has a code.
            then 'reported'
        when length(new.refused_for) > 100
            then 'refused_for'
    end;
    if v_broken is not null then
        raise exception 'A row of sms_send_attempts would break its rule sms_send_attempts_% (smsretry.guard_attempt)', v_broken
            using errcode = '23514',
                  constraint = 'sms_send_attempts_' || v_broken,
                  table = 'sms_send_attempts',
                  schema = 'public';
    end if;
    return new;
end
$$;

-- ======== schemas/records/is_undelivered.sql ========
-- Say whether the message that a send log shows did not arrive, and no other message of the text
-- may. Then the text may be sent again.
create or replace function smsretry.is_undelivered(
    send_log_id uuid,
    provider_message_id jsonb
)
returns boolean
language sql stable set search_path = pg_catalog, pg_temp as $$
    select exists (
        select from public.sms_send_attempts a
        where a.twilio_sid = smsretry.found_sid(is_undelivered.provider_message_id)
          and smsretry.is_lost(a.delivery_status)
    )
        and not smsretry.may_have_arrived(is_undelivered.send_log_id, null)
$$;

-- ======== schemas/records/keep_event.sql ========
-- Write an event of a text's story, when it does not go straight from the queue to its send. What
-- only repeats the last event is counted there. What people do is left to the functions that they
-- call.
--   deferred: it waits for a reason that is no failure
--   given_back: it was not tried, because the run stopped sending it
--   held: it waits for something that a person can mend
--   retry_scheduled: a send of it came to nothing
--   taken_back: its worker fell silent before a send began
--   in_doubt: a send of it may have gone out
--   looked_for: a look found neither it nor its absence
--   not_found: it counts as not gone out
--   failed, cancelled, completed: it has ended
--   queued_anew: it is queued after its end
--   put_off: its time was moved while it waited
create or replace function smsretry.keep_event(
    old public.sms_retry_queue,
    new public.sms_retry_queue
)
returns void
language plpgsql set search_path = pg_catalog, pg_temp
as $$
declare
    v_now constant timestamptz := smsretry.clock();
    v_code text;
    v_ends boolean;
    v_who text := 'smsretry';
    v_last record;
    v_detail jsonb;
begin
    if new.why_code = 'operator'
        and new.status in ('pending', 'cancelled')
        and (
            new.why_code,
            new.why,
            new.in_doubt_since is null
        ) is distinct from (old.why_code, old.why, old.in_doubt_since is null)
    then
        return;
    end if;
    v_code := case
        when new.status in ('failed', 'cancelled', 'completed') then new.status
        when old.status in ('failed', 'cancelled', 'completed') then 'queued_anew'
        when old.in_doubt_since is null
          and new.in_doubt_since is not null
            then 'in_doubt'
        when old.in_doubt_since is not null
          and new.in_doubt_since is null
            then 'not_found'
        when old.status = 'pending' then 'put_off'
        when new.recover_count > old.recover_count then 'taken_back'
        when new.held_since is not null then 'held'
        when new.in_doubt_since is not null then 'looked_for'
        when old.begun_at is not null or old.claimed_by_application
            then 'retry_scheduled'
        when new.why is null
          and new.scheduled_for = old.scheduled_for
            then 'given_back'
        else 'deferred'
    end;
    v_ends := v_code in ('failed', 'cancelled', 'completed', 'queued_anew');
    if v_code = 'completed'
        and exists (
            select from public.sms_send_attempts a
            where a.retry_id = new.id and a.outcome = 'accepted'
        ) then
        return; -- the attempt says so
    end if;
    -- Our functions leave no lease behind, and say why they end or move a row.
    if v_code in ('completed', 'put_off')
        or new.claimed_at is not null
        or old.status <> 'processing'
            and (
                new.why_code,
                new.why,
                new.in_doubt_since
            ) is not distinct from (old.why_code, old.why, old.in_doubt_since)
    then
        v_who := 'the application';
    end if;
    select e.id, e.code, e.who, e.detail
    into v_last
    from smsretry.events e
    where e.about = new.id
    order by e.id desc
    limit 1;
    v_detail := jsonb_strip_nulls(
        jsonb_build_object(
            'because', nullif(
                btrim(
                    left(
                        smsretry.numberless(
                            case
                                when v_ends or v_code = 'retry_scheduled'
                                    then new.last_error
                                when v_code in ('deferred', 'held') then new.why
                                when v_code = 'in_doubt'
                                    then coalesce(new.why, new.last_error)
                            end
                        ),
                        500
                    )
                ),
                ''
            ),
            'why_code', new.why_code,
            'since', case when v_code = 'taken_back' then old.claimed_at end,
            'until', case when new.status = 'pending' then new.scheduled_for end
        )
    );
    if v_last.code = v_code
        and v_last.who = v_who
        and not v_ends
        and v_last.detail ->> 'why_code'
            is not distinct from v_detail ->> 'why_code'
    then
        update smsretry.events e
        set detail = v_last.detail || v_detail
            || jsonb_build_object(
                'times', coalesce((v_last.detail ->> 'times')::integer, 1) + 1,
                'last_at', v_now
            )
        where e.id = v_last.id;
    else
        insert into smsretry.events (at, about, code, who, detail)
        values (v_now, new.id, v_code, v_who, v_detail);
    end if;
end
$$;

-- ======== schemas/records/left_alone.sql ========
-- Say why an order about texts leaves a row alone; null: it may be requeued, cancelled, or looked
-- at now. The caller has locked row and send log. What waits for a next try, a cap, a rate, a
-- carrier's answer or evidence waits for its time: a look would change nothing.
create or replace function smsretry.left_alone(
    what text,
    retry public.sms_retry_queue,
    log public.send_logs,
    at timestamptz
)
returns text
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
    v_state constant text := smsretry.text_state(retry, at);
begin
    return case
        when v_state = 'sent' then 'It is sent already'
        when what = 'requeue'
            then case
                when v_state not in ('failed', 'cancelled')
                    then 'It has not ended, it is ' || replace(v_state, '_', ' ')
                when log.id is null then 'Its send log is gone'
                when not exists (
                    select from public.customers c
                    where c.id = retry.customer_id
                )
                    then 'Its customer is gone'
                when smsretry.is_sent(log.provider_message_id, log.status::text)
                  and not smsretry.is_undelivered(log.id, log.provider_message_id)
                    then 'Its send log says that it was sent'
                when exists (
                    select from public.sms_retry_queue q
                    where q.send_log_id = retry.send_log_id
                      and q.id <> retry.id
                      and (
                          (q.created_at, q.id) > (retry.created_at, retry.id)
                          or q.status in ('pending', 'processing')
                      )
                )
                    then 'Another row of the same text waits, or is newer'
                when (
                    smsretry.earlier_doubt(retry.send_log_id, retry.business_id)
                ).attempt_id is not null -- never simply sent again
                    then 'It is unknown whether it went out: look in the provider''s log, then resolve_sms_doubt'
            end
        when v_state in ('failed', 'cancelled')
            then 'It has ended, it is ' || v_state || ': requeue it'
        when what = 'cancel' and v_state = 'in_doubt'
            then 'It may have gone out, and the provider''s log is being checked'
        when retry.status = 'processing' then 'A worker has it at this moment'
        when what = 'cancel' then null
        when retry.scheduled_for <= at
            then 'It is due already: the next run takes it'
        when retry.held_since is not null
          or retry.reason = 'quiet_hours'
              and v_state <> 'in_doubt'
              and coalesce(
                  retry.why_code::text,
                  ''
              ) not in ('daily_cap', 'day_spent')
            then null
        when v_state = 'in_doubt'
            then 'It may have gone out, and the provider''s log is checked at its own times'
        -- Each look asks anew what somebody may have mended: hours and zones, too.
        when retry.why_code = 'quiet_hours'
          or retry.why_code = any (smsretry.why_codes_of('sender', 'passing'))
            then null
        else 'It waits for its time, and not for somebody: a look now would change nothing'
    end;
end
$$;

-- ======== schemas/records/note_event.sql ========
-- Keep what a person ordered, who and why (smsretry.events); each order calls it.
create or replace function smsretry.note_event(
    about uuid,
    code text,
    who text,
    because text,
    detail jsonb default '{}'
)
returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    insert into smsretry.events (at, about, code, who, detail)
    values (
        smsretry.clock(),
        about,
        code,
        coalesce(who, 'not said'),
        jsonb_strip_nulls(
            jsonb_build_object('because', because) || detail
        )
    );
end
$$;

-- ======== schemas/records/text_on_record.sql ========
-- A text and all that is known of it, as people see it; a column more is one here. Holds only the
-- last four digits of a number, also where the application wrote freely, and times and classes as
-- far as they are valid. Row level security is the reader's.
--   kind:
--     row: of the queue
--     scheduled send: that is no text yet
--     send log: of a text that the queue never had, or has no more
--   state: smsretry.text_state
--   since: when that began
--   next_at: when it is looked at again
--   needs_person: it waits for a person, also one in doubt
--   can: the desk's commands that the database permits for it; the desk decides which it advises;
--     explain: look at its next try, which is another row of the same text
--   steps: its sends, with that it is in doubt about, and what became of each; smsretry.events of
--     the text, and of its customer and business since then, with the last before it; what the
--     number wrote
--   stop_sid: of the number's first text that may mean stop and is unread
--   sender: what it goes out from
--   sender_name: the sender in a command; of a number its id
create or replace view smsretry.text_on_record with (security_invoker = true) as
select
    t.kind,
    t.retry_id,
    t.business_id,
    left(b.name, 200) as business,
    t.customer_id,
    t.send_log_id,
    smsretry.masked(left(c.phone, 40)) as number,
    left(smsretry.numberless(left(c.timezone, 1000)), 100) as timezone,
    left(smsretry.numberless(left(b.timezone, 1000)), 100) as business_timezone,
    t.message_class,
    t.status,
    t.state,
    coalesce(smsretry.on_calendar(t.since), smsretry.clock()) as since,
    left(smsretry.numberless(left(t.why, 2000)), smsretry.longest_reason()) as why,
    coalesce(
        t.why_code,
        case when t.state in ('failed', 'cancelled') then 'application' end
    ) as why_code,
    t.code,
    smsretry.on_calendar(t.next_at) as next_at,
    smsretry.on_calendar(t.expires_at) as expires_at,
    smsretry.on_calendar(planned.scheduled_for) as planned_for,
    t.first_due_at,
    t.needs_person,
    t.attempts,
    t.max_attempts,
    coalesce(smsretry.on_calendar(t.created_at), smsretry.clock()) as queued_at,
    t.updated_at,
    smsretry.clock() as asked_at,
    left(c.sms_consent_status::text, 40) as consent,
    smsretry.on_calendar(c.sms_consent_at) as consent_at,
    left(
        smsretry.numberless(left(c.sms_consent_source, 1000)),
        200
    ) as consent_source,
    case
        when (o.word).said = 'opted_out' then smsretry.on_calendar((o.word).dated)
    end as opted_out_since,
    coalesce(
        smsretry.consent(c.sms_consent_status::text) = 'opted_out'
        and smsretry.start_takes_back(c.sms_consent_source::text, true),
        false
    ) as needs_start,
    case when (o.word).said = 'unsure' then (o.word).twilio_sid end as stop_sid,
    left(smsretry.numberless(left(c.phone_status::text, 1000)), 40) as phone_status,
    left(smsretry.numberless(left(l.status::text, 1000)), 40) as send_log_status,
    left(smsretry.numberless(smsretry.found_sid(l.provider_message_id)), 40) as sid,
    (
        select smsretry.shown_sender(o.sent_by)
        from smsretry.sender_of(t.business_id, t.message_class) o
    ) as sender,
    (
        select case when o.sent_by like '+%' then o.id::text else o.sent_by end
        from smsretry.sender_of(t.business_id, t.message_class) o
    ) as sender_name,
    coalesce(
        (
            select case
                    when l.id is null or c.id is null then '{}'
                    when q.status in ('failed', 'cancelled')
                        then case
                            when smsretry.left_alone(
                                'requeue',
                                q,
                                l,
                                smsretry.clock()
                            ) is null
                                then array['requeue']
                            when smsretry.is_sent(l.provider_message_id, l.status::text)
                              and not smsretry.is_undelivered(l.id, l.provider_message_id)
                                then '{}'
                            when (
                                smsretry.earlier_doubt(q.send_log_id, q.business_id)
                            ).attempt_id is not null
                                then array['resolve']
                            else array['explain']
                        end
                    when q.status = 'pending'
                        then array[
                            case
                                when q.in_doubt_since is null then 'cancel'
                                else 'resolve'
                            end
                        ]
                            || case
                                when smsretry.left_alone(
                                    'look',
                                    q,
                                    l,
                                    smsretry.clock()
                                ) is null
                                    then array['look-again']
                                else '{}'
                            end
                    else '{}'
                end
            from public.sms_retry_queue q
            where q.id = t.retry_id
        ),
        case when t.status = 'scheduled' then array['cancel'] else '{}' end
    ) as can,
    (
        select coalesce(
            jsonb_agg(
                jsonb_strip_nulls(story.step) || jsonb_build_object('at', story.at)
                order by story.at, story.place
            ),
            '[]'
        )
        from (
            select x.place, x.at, x.step
            from (
                select
                    row_number() over (order by a.begun_at) as send,
                    a.begun_at,
                    a.finished_at,
                    a.outcome,
                    a.settled_by,
                    a.attempt_number,
                    a.error_code,
                    a.twilio_sid,
                    a.sent_by,
                    a.quiet_hours_rule,
                    a.consent_status,
                    a.run_id,
                    a.worker_died,
                    a.delivery_status,
                    a.delivery_at,
                    a.delivery_code
                from public.sms_send_attempts a
                where a.retry_id = t.retry_id or a.id = t.attempt_id
            ) a
            cross join lateral (
                values
                    (
                        0,
                        a.begun_at,
                        jsonb_build_object(
                            'what', coalesce(a.outcome, 'under_way'),
                            'send', a.send,
                            'number', nullif(a.attempt_number, 0),
                            'code', a.error_code,
                            'sid', a.twilio_sid,
                            'sender', smsretry.shown_sender(a.sent_by),
                            'rule', a.quiet_hours_rule,
                            'consent', a.consent_status,
                            'run_id', a.run_id,
                            'because', case
                                when a.worker_died then 'its worker died'
                            end
                        )
                    ),
                    (
                        0,
                        case when a.settled_by <> 'response' then a.finished_at end,
                        jsonb_build_object(
                            'what', a.outcome,
                            'send', a.send,
                            'settled_by', a.settled_by
                        )
                    ),
                    (
                        0,
                        case
                            when a.delivery_status is not null then a.delivery_at
                        end,
                        jsonb_build_object(
                            'what', a.delivery_status,
                            'send', a.send,
                            'settled_by', 'callback',
                            'code', a.delivery_code
                        )
                    )
            ) x (place, at, step)
            -- the same words went to the same number within a day of one of its sends
            union all
            select
                0,
                o.begun_at,
                jsonb_build_object(
                    'what', 'same_words_went_out',
                    'row', o.retry_id,
                    'minutes', round(
                        abs(extract(epoch from o.begun_at - a.begun_at)) / 60
                    )::text
                )
            from public.sms_send_attempts a
            join public.sms_send_attempts o
                on o.number_key = a.number_key
                  and o.begun_at between a.begun_at - interval '1 day' and a.begun_at + interval '1 day'
            join public.sms_retry_queue r on r.id = o.retry_id
            join public.send_logs m on m.id = r.send_log_id
            where a.retry_id = t.retry_id
              and a.twilio_sid is not null
              and o.twilio_sid is not null
              and o.retry_id <> a.retry_id
              and m.subject = l.subject
            union all
            (
                select
                    0,
                    i.at,
                    jsonb_build_object(
                        'what', 'they_wrote',
                        'sid', i.twilio_sid,
                        'to', i.written_to,
                        'taken_for', case i.source
                            when 'inbound_start' then 'START'
                            when 'inbound_yes' then 'YES'
                            when 'inbound_unsure' then 'unsure'
                            else 'STOP'
                        end,
                        'received_by', coalesce(
                            (
                                select string_agg(distinct left(h.name, 200), ', ')
                                from smsretry.consents w
                                join public.businesses h on h.id = w.business_id
                                where w.twilio_sid = i.twilio_sid
                            ),
                            'no business'
                        )
                    )
                from smsretry.consents i
                where i.subject_key = smsretry.number_key(null, c.phone)
                  and i.twilio_sid is not null
                order by i.id desc
                limit 20
            )
            union all
            select
                e.id,
                e.at,
                jsonb_build_object('what', e.code, 'who', nullif(e.who, 'smsretry'))
                    || e.detail
            from (
                (
                    select n.*
                    from smsretry.events n
                    where n.about = t.retry_id
                    order by n.id desc
                    limit 200
                )
                union all
                (
                    select n.*
                    from smsretry.events n
                    where n.about in (t.customer_id, t.business_id)
                    order by n.id desc
                    limit 100
                )
            ) e
            where e.code <> 'not_found' -- the send that counts as not sent says it
              and (
                  e.about = t.retry_id
                  or e.at >= coalesce(
                      (
                          select max(y.at)
                          from smsretry.events y
                          where y.about = e.about
                            and y.code = e.code
                            and y.at < t.created_at
                      ),
                      t.created_at
                  )
              )
        ) story
        where story.at is not null
    ) as steps
from (
    select
        'row' as kind,
        q.id as retry_id,
        q.business_id,
        q.customer_id,
        q.send_log_id,
        q.attempt_id,
        q.message_class,
        q.status,
        smsretry.text_state(q, smsretry.clock()) as state,
        coalesce(q.in_doubt_since, q.held_since, q.updated_at) as since,
        case
            when q.status in ('failed', 'cancelled') then q.last_error
            else coalesce(q.why, q.last_error)
        end as why,
        q.why_code::text,
        q.error_code as code,
        case when q.status = 'pending' then q.scheduled_for end as next_at,
        q.expires_at,
        q.first_due_at,
        q.held_since is not null as needs_person,
        q.attempt_count as attempts,
        q.max_attempts,
        q.created_at,
        q.updated_at
    from public.sms_retry_queue q
    union all
    select
        'scheduled send',
        s.id,
        s.business_id,
        s.customer_id,
        null,
        null,
        case s.message_class
            when 'transactional' then 'transactional'
            else 'marketing'
        end,
        s.status,
        smsretry.planned_state(s),
        coalesce(s.held_since, s.updated_at),
        s.why,
        s.why_code::text,
        null,
        case
            when s.status = 'scheduled' then greatest(s.scheduled_for, s.look_at)
        end,
        s.not_after,
        null,
        s.held_since is not null,
        0,
        3,
        s.created_at,
        s.updated_at
    from public.scheduled_sends s
    where s.send_log_id is null
      and s.status in ('scheduled', 'cancelled', 'failed')
    union all
    select
        'send log',
        l.id,
        l.business_id,
        l.customer_id,
        l.id,
        null,
        'marketing',
        l.status::text,
        case
            when smsretry.is_sent(l.provider_message_id, l.status::text) then 'sent'
            else 'not_queued'
        end,
        coalesce(l.updated_at, l.created_at),
        l.error_message,
        null,
        null,
        null,
        null,
        null,
        false,
        0,
        3,
        l.created_at,
        l.updated_at
    from public.send_logs l
    where l.channel::text = 'sms'
      and not exists (
          select from public.sms_retry_queue q
          where q.send_log_id = l.id
      )
      and not exists (
          select from public.scheduled_sends s
          where s.id = l.id and s.send_log_id is null
      )
) t
left join public.businesses b on b.id = t.business_id
left join public.customers c
    on c.id = t.customer_id
      and c.business_id is not distinct from t.business_id
left join public.send_logs l on l.id = t.send_log_id
left join public.scheduled_sends planned
    on planned.id = coalesce(t.send_log_id, t.retry_id)
      and planned.business_id is not distinct from t.business_id
left join lateral (
    select a.word
    from smsretry.objections(array[t.business_id], array[c.phone::text], array[c.id]) a
    limit 1 -- the hardest to take back
) o
    on true;

-- ======== schemas/desk/change_sms_texts.sql ========
-- Requeue texts that have ended, cancel those that wait, or look again at those that wait for what
-- is mended now; for a person.
--   what: requeue, cancel or look
--   which: smsretry.texts_that_fit; without states those that failed, or all that have not ended
--   dry_run: true: nothing changes; false needs who and because, which are kept with each text
--   row_limit: how many at most: those that changed last
--   matched: texts that fit, and of those named by id any state
--   changed: texts that were changed, or would be
--   skipped: texts that are left alone, by reason
--   sample: the first 20, as list_sms showed them before
create or replace function public.change_sms_texts(
    what text,
    which jsonb,
    dry_run boolean default true,
    who text default null,
    because text default null,
    row_limit integer default 1000
)
returns table (matched integer, changed integer, skipped jsonb, sample jsonb)
language plpgsql set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
    v_now constant timestamptz := smsretry.clock();
    v_are_named constant boolean := which ? 'retry_ids';
    v_permitted constant text[] := case what
        when 'requeue' then array['failed', 'cancelled']
        else array['scheduled', 'due', 'waiting', 'held', 'under_way', 'in_doubt']
    end;
    v_states constant text[] := coalesce(
        nullif(array(select jsonb_array_elements_text(which -> 'states')), '{}'),
        case what when 'requeue' then array['failed'] else v_permitted end
    );
    v_ids uuid[];
begin
    if (
        what in ('requeue', 'cancel', 'look')
        and dry_run is not null
        and v_states <@ v_permitted
        and row_limit between 1 and 10000
    ) is not true
    then
        raise exception 'what must be requeue, cancel or look, and row_limit 1 to 10000. % is only for texts that are %',
            coalesce(what, 'An order'),
            array_to_string(v_permitted, ', ')
            using errcode = 'SR422';
    elsif (which - 'states' <> '{}') is not true then
        raise exception 'Say which texts: by more than their states'
            using errcode = 'SR422';
    end if;
    if not dry_run then
        perform smsretry.check_who_and_why(who, because);
    end if;
    v_ids := array(
        select f.id
        from smsretry.texts_that_fit(
            case
                when v_are_named then which - 'states'
                else which || jsonb_build_object('states', v_states)
            end
        ) with ordinality f (id, place)
        left join public.sms_retry_queue q
            on q.id = f.id and what = 'look'
        -- Whoever names texts is told why they are not looked at.
        where what <> 'look'
          or v_are_named
          or q.id is not null
              and smsretry.left_alone('look', q, null, v_now) is null
        order by f.place
        limit row_limit
    );
    sample := coalesce(
        (
            select jsonb_agg(to_jsonb(l))
            from public.list_sms(jsonb_build_object('retry_ids', v_ids[:20])) l
        ),
        '[]'
    );
    matched := cardinality(v_ids);
    select
        coalesce(sum(t.texts) filter (where t.skip is null), 0)::integer,
        coalesce(
            jsonb_object_agg(t.skip, t.texts) filter (where t.skip is not null),
            '{}'
        )
    into changed, skipped
    from (
        select c.skip, count(*) as texts
        from unnest(v_ids) i (id)
        cross join lateral smsretry.change_text(
            what,
            i.id,
            v_states,
            dry_run,
            who,
            because,
            v_now
        ) c
        group by c.skip
    ) t;
    return next;
end
$$;

-- ======== schemas/desk/change_text.sql ========
-- Requeue, cancel or look at one text or scheduled send, for change_sms_texts. A requeued one is
-- due at once, keeps its class, attempts and errors, gets three further sends, and its life starts
-- anew. A look makes a text due, and changes nothing else.
--   states: in which it may be
--   skip: why it is left alone
create or replace function smsretry.change_text(
    what text,
    id uuid,
    states text[],
    dry_run boolean,
    who text,
    because text,
    at timestamptz,
    out skip text
)
language plpgsql set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_variable
declare
    v_row public.sms_retry_queue;
    v_log public.send_logs;
    v_state text;
begin
    -- the send log first, as in queue_sms_retry, so that no second live row can appear
    if what = 'requeue' then
        select l.*
        into v_log
        from public.send_logs l
        where l.id = (
            select q.send_log_id
            from public.sms_retry_queue q
            where q.id = id
        )
        for update;
    end if;
    select *
    into v_row
    from public.sms_retry_queue q
    where q.id = id
    for update;
    v_state := case
        when v_row.id is not null then smsretry.text_state(v_row, at)
        else (
            select smsretry.planned_state(s)
            from public.scheduled_sends s
            where s.id = id
        )
    end;
    skip := coalesce(
        case
            when v_row.id is not null
                then smsretry.left_alone(what, v_row, v_log, at)
            when what = 'requeue' then 'It never became a text: schedule it anew'
            when what = 'look' then 'It is not queued yet: its time comes by itself'
            when v_state in ('failed', 'cancelled')
                then 'It has ended, it is ' || v_state
        end,
        case
            when v_state <> all (states)
                then 'It is ' || v_state
                    || ': ask for that state, too (--state '
                    || v_state || ')'
        end
    );
    if dry_run or skip is not null then
        return;
    end if;
    if v_row.id is null then
        update public.scheduled_sends s
        set
            status = 'cancelled',
            why = 'Cancelled by ' || who || ': ' || because,
            why_code = 'operator'
        where s.id = id and s.status = 'scheduled'
        returning s.status
        into v_state;
        skip := case
            when v_state is distinct from 'cancelled'
                then 'It has changed meanwhile, or a trigger on scheduled_sends keeps it'
        end;
        set constraints all immediate; -- a deferred check would undo the others, too
        return;
    end if;
    case what
        when 'cancel' then
            perform smsretry.save_row(
                v_row,
                at,
                ended => 'cancelled',
                why => 'Cancelled by ' || who || ': ' || because,
                why_code => 'operator'
            );
        when 'look' then -- a doubt stays held: a person is still to decide about it
            -- In the past tense, so that nobody takes the old reason for a new one.
            v_row.why := coalesce(
                case
                    when v_row.held_since is not null then 'It was held: '
                    else 'It waited: '
                end || left(coalesce(v_row.why, v_row.last_error), 1000)
                    || '. ',
                ''
            ) || 'Looked at again by ' || who || ': ' || because;
            if v_row.in_doubt_since is null then
                v_row.held_since := null;
                v_row.why_code := 'operator';
            end if;
            perform smsretry.save_row(v_row, at, due => at);
        else -- requeue: the attempt keeps the SID of an undelivered message, the log does not
            skip := 'Its send log cannot be told that it waits: '
                || smsretry.update_log(v_log.id, '{null,failed}', null, null, at);
            if skip is not null then
                return;
            end if;
            v_row.max_attempts := least(
                greatest(v_row.max_attempts, v_row.attempt_count + 3),
                1000
            );
            v_row.expires_at := null;
            v_row.recover_count := 0;
            v_row.reconcile_count := 0;
            v_row.reason := null;
            v_row.why_code := 'operator';
            v_row.why := 'Requeued by ' || who || ': ' || because;
            perform smsretry.save_row(v_row, at, due => at);
    end case;
    perform smsretry.note_event(
        v_row.id,
        case what
            when 'cancel' then 'cancelled'
            when 'look' then 'looked_again'
            else 'requeued'
        end,
        who,
        because
    );
exception
    when others then -- the order goes on with the others
        skip := 'A trigger or a rule of the application refuses each change of it ('
            || sqlstate || ')';
end
$$;

-- ======== schemas/desk/check_who_and_why.sql ========
-- Refuse a step without who and because, or with a phone number in them: both are kept for good and
-- shown to everybody.
create or replace function smsretry.check_who_and_why(who text, because text)
returns void
language plpgsql immutable set search_path = pg_catalog, pg_temp as $$
begin
    if coalesce(btrim(who), '') = ''
        or coalesce(btrim(because), '') = ''
        or length(who) > 200
        or length(because) > 500
    then
        raise exception 'Say who you are (who, 200 characters at most) and why (because, 500): both are kept'
            using errcode = 'SR422';
    end if;
    if (
        smsretry.numberless(who),
        smsretry.numberless(because)
    ) is distinct from (who, because)
    then
        raise exception 'Leave phone numbers out of who and because: both are kept for good, and everybody sees them'
            using errcode = 'SR422',
                  hint = 'Name the customer by its id.';
    end if;
end
$$;

-- ======== schemas/desk/ended_texts.sql ========
-- List the texts and scheduled sends that failed or were cancelled between these. What smsretry did
-- not end, the application did.
create or replace function smsretry.ended_texts(since timestamptz, until timestamptz)
returns table (
    at timestamptz,
    state text,
    why_code text,
    why text,
    business_id uuid,
    customer_id uuid,
    retry_id uuid
)
language plpgsql stable set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_custom_plan as $$
#variable_conflict use_column
begin
    return query
    select
        q.updated_at,
        q.status,
        coalesce(q.why_code::text, 'application'),
        q.last_error,
        q.business_id,
        q.customer_id,
        q.id
    from public.sms_retry_queue q
    where q.updated_at between ended_texts.since and ended_texts.until
      and q.status in ('failed', 'cancelled')
    union all
    select
        s.updated_at,
        s.status::text,
        coalesce(s.why_code::text, 'application'),
        s.why,
        s.business_id,
        s.customer_id,
        s.id
    from public.scheduled_sends s
    where s.updated_at between ended_texts.since and ended_texts.until
      and s.status in ('failed', 'cancelled')
      and s.send_log_id is null;
end
$$;

-- ======== schemas/desk/explain_sms.sql ========
-- Explain to a person what happened to a text, why, and what comes next (smsretry.text_on_record);
-- newest first. Where the queue has none: what the application sent itself.
--   id: of a row, a scheduled send, a send log, an attempt or a customer
--   phone, last_digits: the whole number, or its last four digits
--   sid: of a message
create or replace function public.explain_sms(
    id uuid default null,
    phone text default null,
    row_limit integer default 20,
    sid text default null,
    last_digits text default null
)
returns setof smsretry.text_on_record
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_custom_plan
set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off set jit = off
as $$
#variable_conflict use_variable
declare
    -- In each array, because PostgreSQL takes any partial index for one that has all rows of an
    -- empty array.
    k_nobody constant uuid := '00000000-0000-0000-0000-000000000000';
    v_people uuid[];
    v_ids constant uuid[] := array(
        select id
        union all
        select a.retry_id
        from public.sms_send_attempts a
        where a.id = id
        union all
        select a.retry_id
        from public.sms_send_attempts a
        where a.twilio_sid = sid
    );
    v_is_own boolean;
begin
    if num_nonnulls(id, phone, sid, last_digits) <> 1
        or last_digits !~ '^[0-9]{4}$'
        or (row_limit between 1 and 200) is not true
    then
        raise exception 'Say which text, in one way: id, phone, sid or last_digits (four); row_limit is 1 to 200'
            using errcode = 'SR422';
    end if;
    v_people := case
        when phone is not null
            then array(
                select c.id
                from public.customers c
                where c.phone = phone
            )
        when last_digits is not null
            then array(
                select c.id
                from public.customers c
                where right(c.phone, 4) = last_digits
            )
        else array[id]
    end;
    foreach v_is_own in array array[false, true] loop
        return query
        select t.*
        from smsretry.text_on_record t
        where (t.kind = 'send log') = v_is_own
          and (
              t.retry_id = any (v_ids || k_nobody)
              or t.send_log_id = id
              or t.customer_id = any (v_people || k_nobody)
          )
        order by t.queued_at desc, t.retry_id
        limit row_limit;
        exit when found;
    end loop;
end
$$;

-- ======== schemas/desk/list_sms.sql ========
-- List for a person the texts and scheduled sends that fit a filter (smsretry.texts_that_fit),
-- those that changed last first.
create or replace function public.list_sms(
    which jsonb,
    row_limit integer default 100
)
returns setof smsretry.text_on_record
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_custom_plan as $$
declare
    v_ids uuid[];
begin
    if (list_sms.row_limit between 1 and 500) is not true then
        raise exception 'row_limit is 1 to 500' using errcode = 'SR422';
    end if;
    v_ids := array(
        select f
        from smsretry.texts_that_fit(list_sms.which) f
        limit list_sms.row_limit
    );
    return query
    select t.*
    from smsretry.text_on_record t
    where t.retry_id = any (v_ids)
    order by array_position(v_ids, t.retry_id);
end
$$;

-- ======== schemas/desk/mark_sms_database.sql ========
-- Mark this database as production, as staging, or as neither. Returns whether it is marked. May be
-- repeated. Texts that waited because of the mark are released.
--   kind: production, staging or none
--   who, because: of the person
--   address: of production: that of the SUPABASE_URL which its workers have: the host, the port if
--     it is not the usual one, and the path
create or replace function public.mark_sms_database(
    kind text,
    who text,
    because text,
    address text default null
)
returns boolean
language plpgsql set search_path = pg_catalog, pg_temp
as $$
begin
    perform smsretry.check_who_and_why(
        who,
        because
    );
    if (kind in ('production', 'staging', 'none')) is not true
    then
        raise exception 'kind must be production, staging or none'
            using errcode = 'SR422';
    end if;
    if (kind = 'production') is distinct from (
        coalesce(btrim(address), '') <> ''
    ) then
        raise exception 'production needs the address of its workers'' SUPABASE_URL, and nothing else has one'
            using errcode = 'SR422';
    end if;
    perform smsretry.note_event(
        null,
        'database_marked',
        who,
        because,
        jsonb_build_object('kind', kind)
    );
    perform smsretry.try_release('{mark_mismatch}');
    if kind = 'none' then
        delete from smsretry.mark;
        return false;
    end if;
    insert into smsretry.mark (kind, address, marked_at, who, because)
    values (
        kind,
        lower(btrim(address)),
        smsretry.clock(),
        who,
        because
    )
    on conflict (one)
    do update set
        kind = excluded.kind,
        address = excluded.address,
        marked_at = excluded.marked_at,
        who = excluded.who,
        because = excluded.because;
    return true;
end
$$;

-- ======== schemas/desk/preview_sms_retries.sql ========
-- Preview waiting texts and scheduled sends as a claim would return them, each with what its begin
-- would find now. Nothing is claimed. Who may read no number gets smsretry.without_number.
--   until: only those that are due by then
--   after_due, after_id: of the last row of the page before
--   ids: only these, whenever they are due, and what waits for the same people
--   asked_at: when it is asked what a begin would find
--   reached_at: when texts may have reached the number, the newest first
--   default_sender: the sender of a text that has none of its own
--   refused, refused_code, refused_held: smsretry.refusals
--   stopped: why it is not sent, but for one text a run
create or replace function public.preview_sms_retries(
    until timestamptz,
    after_due timestamptz default null,
    after_id uuid default null,
    row_limit integer default null,
    ids uuid[] default null
)
returns setof json
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
    v_limit constant integer := greatest(
        smsretry.rows_of_claim(coalesce(row_limit, 1000)),
        1
    );
    v_mismatch constant text := (
        select smsretry.mark_mismatch(r.send_to, r.address)
        from smsretry.runs r
        order by r.started_at desc
        limit 1
    );
    v_default_sender constant jsonb := (
        select t.sender
        from smsretry.claim_senders t
        where t.id = (smsretry.sender_of(null, null)).id
    );
    v_stops constant jsonb := (
        select jsonb_object_agg(s.kind || ' ' || s.subject, s.why)
        from smsretry.stops s
    );
    v_states constant text[] := (select s.states from smsretry.stopped_states s);
    v_now constant timestamptz := smsretry.clock();
    v_is_whole constant boolean := smsretry.may_read_numbers();
    v_ids uuid[];
    v_people uuid[];
    v_texts smsretry.claimed_retry[];
begin
    after_due := coalesce(after_due, '-infinity');
    after_id := coalesce(after_id, '00000000-0000-0000-0000-000000000000');
    if ids is null then
        v_ids := array(
            select w.id
            from (
                select n.id, n.scheduled_for
                from unnest('{texts,suspect}'::text[]) k (work)
                cross join lateral (
                    select q.id, q.scheduled_for
                    from public.sms_retry_queue q
                    where q.work = k.work
                      and q.in_doubt_since is null
                      and q.scheduled_for <= until
                      and (q.scheduled_for, q.id) > (after_due, after_id)
                    order by q.work, q.scheduled_for, q.id
                    limit v_limit
                ) n
                union all
                (
                    select s.id, s.scheduled_for
                    from public.scheduled_sends s
                    where s.status = 'scheduled'
                      and s.scheduled_for <= until
                      and (s.scheduled_for, s.id) > (after_due, after_id)
                    order by s.scheduled_for, s.id
                    limit v_limit
                )
            ) w
            order by w.scheduled_for, w.id
            limit v_limit
        );
    else
        v_people := array(
            select t.customer_id
            from smsretry.text_on_record t
            where t.retry_id = any (ids)
        );
        v_ids := ids || array(
            select q.id
            from public.sms_retry_queue q
            where q.customer_id = any (v_people) and q.work in ('texts', 'suspect')
            union all
            select s.id
            from public.scheduled_sends s
            where s.customer_id = any (v_people) and s.send_log_id is null
            limit v_limit
        );
    end if;
    v_texts := array(
        select c.line
        from (
            select r as line
            from smsretry.claimed_retry r
            where r.id = any (v_ids)
              and r.status = 'pending'
              and r.in_doubt_since is null
            -- a scheduled send as its claim will be once it is queued
            union all
            select p
            from public.scheduled_sends s
            left join public.customers c
                on c.id = s.customer_id
                  and c.business_id is not distinct from s.business_id
            left join public.businesses b on b.id = s.business_id
            cross join lateral jsonb_populate_record(
                null::smsretry.claimed_retry,
                jsonb_build_object(
                    'id', s.id,
                    'business_id', s.business_id,
                    'send_log_id', s.id,
                    'customer_id', s.customer_id,
                    'status', 'pending',
                    'attempt_count', 0,
                    'max_attempts', 3,
                    'scheduled_for', s.scheduled_for,
                    'due_since', s.scheduled_for,
                    'created_at', s.created_at,
                    'updated_at', s.updated_at,
                    'claim_no', 0,
                    'expires_at', s.not_after,
                    'held', s.held_since is not null,
                    'why', s.why,
                    'why_code', s.why_code,
                    'message_class', s.message_class,
                    'reconcile_count', 0,
                    'lost_messages', '[]'::jsonb,
                    'send_log_found', true,
                    'body', left(s.body, smsretry.longest_body() + 1),
                    'channel', 'sms',
                    'log_says_sent', false,
                    'customer_found', c.id is not null,
                    'phone', left(c.phone, 40),
                    'timezone', left(c.timezone, 100),
                    'sms_consent_status', smsretry.consent(c.sms_consent_status::text),
                    'business_timezone', left(b.timezone, 100),
                    'business_hours', left(b.sms_hours, 1000),
                    'business_cap', b.sms_daily_cap,
                    'sender', (
                        select t.sender
                        from smsretry.claim_senders t
                        where t.id = (
                            smsretry.sender_of(s.business_id, s.message_class)
                        ).id
                    )
                )
            ) p
            where s.id = any (v_ids) and s.status = 'scheduled'
        ) c
        order by (c.line).scheduled_for, (c.line).id
    );
    return query
    select case
        when v_is_whole then row_to_json(t)
        else smsretry.without_number(to_jsonb(t))::json
    end
    from (
        select
            c.*,
            v_now as asked_at,
            array(
                -- longer than any cap counts
                select smsretry.texts_reached(
                    c.business_id,
                    c.phone,
                    v_now - interval '2 days'
                )
            ) as reached_at,
            v_default_sender as default_sender,
            coalesce(
                'Sending is stopped: '
                    || coalesce(v_mismatch, v_stops ->> 'everybody '),
                'Its sender is stopped: ' || (
                    v_stops ->> (
                        'sender ' || (coalesce(c.sender, v_default_sender) ->> 'id')
                    )
                ),
                'Texts of its business come to nothing, and are tried one by one: '
                    || (v_stops ->> ('business ' || c.business_id))
            ) as stopped,
            smsretry.longest_body() as longest_body,
            coalesce(v_states, '{}') as stopped_states
        from rows from (unnest(v_texts), smsretry.refusals(v_texts)) c
    ) t;
end
$$;

-- ======== schemas/desk/prune_sms_history.sql ========
-- Delete one batch of what ended more than keep_days ago: texts with their attempts and events, and
-- runs. Call it until it deletes nothing. Opt-outs that stand, send logs, scheduled sends and texts
-- in doubt stay. SIDs of incoming STOPs stay for k_stops_known at least and those of STARTs for good,
-- because a repeated webhook is recognized by them. security definer: nobody else may delete
-- history.
--   dry_run: only count all texts and runs of that age
create or replace function public.prune_sms_history(
    keep_days integer,
    batch integer default 1000,
    dry_run boolean default false
)
returns table (texts integer, runs integer)
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
    -- A repeated one would end the consent of whoever opted in again.
    k_stops_known constant interval := '90 days';
    v_before timestamptz;
    v_ids uuid[];
begin
    if (
        prune_sms_history.keep_days between 7 and 36500
        and prune_sms_history.batch between 1 and 10000
    ) is not true
    then
        raise exception 'keep_days is 7 or more, batch 1 to 10000'
            using errcode = 'SR422',
                  hint = 'The last days are evidence: texts in doubt are settled by them, and daily caps count them.';
    end if;
    v_before := smsretry.clock() - make_interval(
        days => prune_sms_history.keep_days
    );
    if dry_run then
        texts := (
            select count(*)
            from public.sms_retry_queue t
            where t.status in ('completed', 'failed', 'cancelled')
              and t.updated_at < v_before
        );
        runs := (
            select count(*)
            from smsretry.runs r
            where r.started_at < v_before
        );
        return next;
        return;
    end if;
    v_ids := array(
        select t.id
        from public.sms_retry_queue t
        where t.status in ('completed', 'failed', 'cancelled')
          and t.updated_at < v_before
          and (
              smsretry.earlier_doubt(t.send_log_id, t.business_id)
          ).attempt_id is null -- else it is evidence still
        limit prune_sms_history.batch
        for update skip locked
    );
    delete from public.sms_retry_queue q
    where q.id = any (v_ids);
    get diagnostics texts = row_count;
    delete from smsretry.runs r
    where r.id = any (
        array(
            select o.id
            from smsretry.runs o
            where o.started_at < v_before
            order by o.started_at
            limit prune_sms_history.batch
        )
    );
    get diagnostics runs = row_count;
    -- What something has lifted, and only then what lifted it. A date is needed while it could lift
    -- an opt-out.
    delete from smsretry.consents c
    where c.id = any (
        array(
            select o.id
            from smsretry.consents i
            join smsretry.consents o
                on o.subject_key = i.subject_key
                  and o.said in ('opted_out', 'unsure')
                  and o.id < i.id
            where i.said <> 'seen'
              and i.at < v_before
              and (o.business_id is not null or o.at < smsretry.clock() - k_stops_known)
              and not exists (
                  select from smsretry.standing_words s
                  where s.subject_key = o.subject_key and s.id = o.id
              )
            limit 10 * prune_sms_history.batch
        )
    );
    delete from smsretry.consents c
    where c.id = any (
        array(
            select i.id
            from smsretry.consents i
            where i.said in ('opted_in', 'unchanged', 'seen')
              and greatest(i.at, i.dated) < v_before
              and (i.twilio_sid is null or i.business_id is not null)
              and not exists (
                  select from smsretry.consents o
                  where o.subject_key = i.subject_key
                    and o.said in ('opted_out', 'unsure')
                    and (i.said <> 'seen' and o.id < i.id or o.dated < i.dated)
              )
              and not exists (
                  -- nor where the number is new; there it stands until somebody says START
                  select from smsretry.standing_words o
                  where o.subject_key = i.number_key and o.id < i.id
              )
            limit 10 * prune_sms_history.batch
        )
    );
    -- the number of whom nobody has as a customer any more
    update smsretry.consents w
    set phone = null
    where w.phone is not null
      and w.at < v_before
      and not exists (
          select from public.customers k
          where k.phone = w.phone
          offset 0
      );
    delete from smsretry.events e
    where e.id = any (
        array(
            select o.id
            from smsretry.events o
            where o.at < v_before
              and not exists (
                  select from public.sms_retry_queue q
                  where q.id = o.about
              )
              and not exists (
                  select from smsretry.senders s
                  where s.id = o.about
              )
            order by o.id
            limit 10 * prune_sms_history.batch
        )
    );
    delete from smsretry.turns t
    where t.served < smsretry.clock() - interval '7 days';
    delete from smsretry.stops s
    where s.kind = 'business'
      and s.since < smsretry.clock() - interval '7 days';
    return next;
end
$$;

-- ======== schemas/desk/sms_businesses.sql ========
-- Find for a person the businesses of this name; if there is none, those in whose name it is. Ten
-- at most.
create or replace function public.sms_businesses(name text)
returns table (business_id uuid, business text)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_custom_plan as $$
#variable_conflict use_variable
declare
    v_is_whole boolean;
begin
    foreach v_is_whole in array array[true, false] loop
        return query
        select b.id, left(b.name, 200)
        from public.businesses b
        where case
            when v_is_whole then lower(b.name) = lower(btrim(name))
            else strpos(lower(b.name), lower(btrim(name))) > 0
        end
        order by b.name, b.id
        limit 10;
        exit when found;
    end loop;
end
$$;

-- ======== schemas/desk/sms_report.sql ========
-- Report what became of texts, as an array with every row, however many there are.
--   what:
--     businesses: by business and month (UTC): texts sent, the segments of all their messages, how
--       many arrived; how many were lost, by the provider's code (0: without one), failed and were
--       cancelled, by smsretry.why_code; customers who opted out
--     opted_out: the customers who have opted out
--     lost: the texts that failed or did not arrive
--   business_id: of this business alone
--   since, until: between these; null: the last 31 days
create or replace function public.sms_report(
    what text default 'businesses',
    business_id uuid default null,
    since timestamptz default null,
    until timestamptz default null
)
returns json
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_custom_plan as $$
#variable_conflict use_column
declare
    v_until constant timestamptz := coalesce(sms_report.until, smsretry.clock());
    v_since constant timestamptz := coalesce(
        sms_report.since,
        v_until - interval '31 days'
    );
    v_whats constant text[] := case sms_report.what
        when 'businesses'
            then '{delivered,undelivered,unknown,open,failed,cancelled,opted_out}'
        when 'opted_out' then '{opted_out}'
        when 'lost' then '{undelivered,failed}'
    end;
begin
    if v_whats is null then
        raise exception 'what must be businesses, opted_out or lost'
            using errcode = 'SR422';
    end if;
    return (
        with facts as (
            select f.*, left(b.name, 200) as business
            from (
                -- once a text: by the message that arrived, or else its last
                (
                    select distinct on (a.retry_id)
                        a.begun_at as at,
                        smsretry.delivery_of(a.delivery_status) as what,
                        coalesce(a.delivery_code, 0)::text as reason,
                        q.last_error as why,
                        a.business_id,
                        q.customer_id,
                        a.retry_id,
                        sum(a.segments) over (partition by a.retry_id) as segments
                    from public.sms_send_attempts a
                    join public.sms_retry_queue q on q.id = a.retry_id
                    where a.begun_at between v_since and v_until
                      and a.outcome = 'accepted'
                    order by
                        a.retry_id,
                        smsretry.delivery_of(a.delivery_status) <> 'delivered',
                        a.begun_at desc
                )
                union all
                select e.*, null
                from smsretry.ended_texts(v_since, v_until) e
                union all
                select
                    c.sms_consent_at,
                    'opted_out',
                    left(c.sms_consent_source::text, 40),
                    null,
                    c.business_id,
                    c.id,
                    null,
                    null
                from public.customers c
                where c.sms_consent_at between v_since and v_until
                  and c.sms_consent_status::text = 'opted_out'
            ) f
            left join public.businesses b on b.id = f.business_id
            where f.what = any (v_whats)
              and (
                  sms_report.business_id is null
                  or f.business_id = sms_report.business_id
              )
        ),
        counted as (
            select
                to_char(f.at at time zone 'UTC', 'YYYY-MM') as month,
                f.business,
                f.business_id,
                f.what,
                f.reason,
                count(*) as texts,
                sum(f.segments) as segments
            from facts f
            where sms_report.what = 'businesses'
            group by 1, 2, 3, 4, 5
        ),
        months as (
            select
                c.month,
                c.business,
                c.business_id,
                coalesce(
                    sum(c.texts) filter (
                        where c.what in ('delivered', 'undelivered', 'unknown', 'open')
                    ),
                    0
                ) as sent,
                coalesce(sum(c.segments), 0) as segments,
                coalesce(sum(c.texts) filter (where c.what = 'delivered'), 0) as arrived,
                jsonb_object_agg(c.reason, c.texts) filter (
                    where c.what = 'undelivered'
                ) as lost,
                jsonb_object_agg(c.reason, c.texts) filter (
                    where c.what = 'failed'
                ) as failed,
                jsonb_object_agg(c.reason, c.texts) filter (
                    where c.what = 'cancelled'
                ) as cancelled,
                coalesce(sum(c.texts) filter (where c.what = 'opted_out'), 0) as opted_out
            from counted c
            group by c.month, c.business, c.business_id
        ),
        people as (
            select
                f.at,
                f.business,
                f.business_id,
                smsretry.masked(left(c.phone, 40)) as number,
                f.customer_id,
                f.retry_id,
                smsretry.numberless(f.reason) as reason,
                left(smsretry.numberless(left(f.why, 500)), 200) as why
            from facts f
            left join public.customers c on c.id = f.customer_id
            where sms_report.what <> 'businesses'
        )
        select coalesce(json_agg(r.line), '[]')
        from (
            (
                select row_to_json(m)
                from months m
                order by m.business, m.business_id, m.month
            )
            union all
            (select row_to_json(p) from people p order by p.at desc)
        ) r (line)
    );
end
$$;

-- ======== schemas/desk/sms_status.sql ========
-- Sum up for a person what is in the queue, what went out and ended lately, what needs attention,
-- and the last runs, as one object:
--   at: the database's time
--   late: smsretry.late_since, and what is due by when is late
--   states, sends, hours, undelivered: the functions status_of_…, which say what they count
--   held: what waits for a person, a row a reason, the rarest first; code: the provider's (0: without
--     one), where it is what somebody must mend; why: of most of them; since: when the first of them
--     was held; business_id, business: of a single one; retry_id: one of them
--   ended: what failed or was cancelled in a day, by reason, the most texts first; why: of most of
--     them
--   senders: sms_senders that have trouble, those with the most texts first
--   unread: customers in smsretry.unread_words
--   stops: smsretry.stopped; what is sending (everybody's), default_sender, state or business
--     (these two by a person)
--   mark: what the database is marked as
--   send_to: whom the last run's worker texts
--   runs: the last five
create or replace function public.sms_status()
returns jsonb
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_generic_plan set enable_seqscan = off set jit = off
as $$ -- without statistics the planner would read all attempts
declare
    v_now constant timestamptz := smsretry.clock();
    v_late constant timestamptz := v_now - smsretry.late_after();
begin
    return jsonb_build_object(
        'at', v_now,
        'late', array(
            select to_jsonb(l) || jsonb_build_object('due_by', v_late)
            from smsretry.late_since(v_late) l
        ),
        'states', array(select to_jsonb(s) from smsretry.status_of_states(v_now) s),
        'held', array(
            select to_jsonb(r) || jsonb_build_object('business', left(b.name, 200))
            from (
                select
                    h.state,
                    h.why_code,
                    h.code,
                    mode() within group (order by h.why) as why,
                    count(*) as texts,
                    min(h.since) as since,
                    count(distinct h.business_id) as businesses,
                    case
                        when count(distinct h.business_id) = 1
                            then min(h.business_id::text)::uuid
                    end as business_id,
                    min(h.id::text) as retry_id
                from (
                    select
                        smsretry.text_state(q, v_now) as state,
                        q.business_id,
                        q.why_code::text as why_code,
                        case
                            when q.why_code in ('account_refused', 'destination_refused')
                                then coalesce(q.error_code, 0)
                        end as code,
                        left(smsretry.numberless(left(q.why, 500)), 200) as why,
                        q.held_since as since,
                        q.id
                    from public.sms_retry_queue q
                    where q.id = any (
                        array(
                            -- by their index: a million rows may wait
                            select n.id
                            from public.sms_retry_queue n
                            where n.work is not null and n.held_since is not null
                        )
                    )
                    union all
                    select
                        smsretry.planned_state(s),
                        s.business_id,
                        s.why_code::text,
                        null,
                        left(smsretry.numberless(left(s.why, 500)), 200),
                        s.held_since,
                        s.id
                    from public.scheduled_sends s
                    where s.status = 'scheduled'
                      and s.send_log_id is null
                      and s.held_since is not null
                ) h
                where h.state in ('held', 'in_doubt')
                group by h.state, h.why_code, h.code
            ) r
            left join public.businesses b on b.id = r.business_id
            order by r.texts, r.since
        ),
        'ended', array(
            select jsonb_build_object(
                'state', e.state,
                'why_code', e.why_code,
                'why', smsretry.numberless(mode() within group (order by left(e.why, 200))),
                'texts', count(*)
            )
            from smsretry.ended_texts(v_now - interval '1 day', v_now) e
            group by e.state, e.why_code
            order by e.state desc, count(*) desc
        ),
        'senders', array(
            select to_jsonb(s)
            from public.sms_senders(troubled => true) s
            where s.why_code is not null
              and (s.why_code <> 'day_spent' or s.used_today >= s.segments_per_day)
              and (
                  s.named_at is not null and s.why_code <> 'sending_stopped'
                  or exists (
                      select from smsretry.business_senders b
                      where b.sender_id = s.sender_id
                  )
              )
            order by s.due + s.waiting + s.held desc, s.sender_id
        ),
        'unread', (
            select jsonb_build_object(
                'customers', count(distinct w.customer_id),
                'since', min(w.received_at)
            )
            from smsretry.unread_words w
            having count(*) > 0
        ),
        'stops', array(
            select jsonb_build_object(
                'what', case
                    when s.kind in ('state', 'business_stopped')
                        then split_part(s.kind, '_', 1)
                    when s.kind = 'sender'
                      and exists (select from smsretry.business_senders)
                        then 'default_sender'
                    else 'sending'
                end,
                'subject', s.subject,
                'business', left(b.name, 200),
                'since', s.since,
                'why', s.why,
                'who', s.who,
                'sender', case
                    when e.sent_by like '+%' then e.id::text
                    else e.sent_by
                end
            )
            from smsretry.stopped s
            left join smsretry.senders e
                on s.kind = 'sender' and e.id::text = s.subject
            left join public.businesses b
                on s.kind = 'business_stopped' and b.id::text = s.subject
            where s.kind in ('everybody', 'state', 'business_stopped')
              or e.id = (smsretry.sender_of(null, null)).id
            order by s.kind in ('state', 'business_stopped'), s.subject, s.since
        ),
        'mark', (
            select jsonb_build_object(
                'kind', m.kind,
                'since', m.marked_at,
                'address', m.address
            )
            from smsretry.mark m
        ),
        'send_to', (
            select r.send_to
            from smsretry.runs r
            order by r.started_at desc
            limit 1
        ),
        'runs', array(
            select jsonb_build_object(
                'id', r.id,
                'started_at', r.started_at,
                'finished_at', r.finished_at,
                'summary', coalesce(
                    r.summary,
                    case
                        when r.interrupted_at is not null then 'It was interrupted'
                        else 'It is under way'
                    end
                )
            )
            from smsretry.runs r
            order by r.started_at desc
            limit 5
        )
    )
        || smsretry.status_of_sends(v_now);
end
$$;

-- ======== schemas/desk/status_of_sends.sql ========
-- Count for sms_status what became of sends.
--   sends: texts with a send that began in the last hour, by its outcome
--   hours: texts that were accepted in the last day, by hour and smsretry.delivery_of
--   undelivered: those that did not arrive, by the provider's code, the most texts first, with the
--     number of their businesses and the name of a single one
create or replace function smsretry.status_of_sends(at timestamptz)
returns jsonb
language plpgsql stable set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_custom_plan set enable_sort = off as $$ -- it would sort all texts of the day
begin
    return (
        with accepted as materialized (
            select g.*, smsretry.delivery_of(g.delivery_status) as delivery
            from (
                select
                    date_bin('1 hour', a.begun_at, '2000-01-01 00:00+00') as hour,
                    a.delivery_status,
                    a.delivery_code as code,
                    count(*) as texts,
                    array_agg(a.business_id) filter (
                        -- as most are
                        where a.delivery_status not in ('delivered', 'sent')
                    ) as business_ids
                from public.sms_send_attempts a
                where a.begun_at > status_of_sends.at - interval '1 day'
                  and a.twilio_sid is not null
                  and not a.delivery_excused
                group by 1, 2, 3
                offset 0
            ) g -- it is asked of a group, and not of each text
        )
        select jsonb_build_object(
            'sends', (
                select coalesce(jsonb_object_agg(o.outcome, o.texts), '{}')
                from (
                    select t.outcome, count(*) as texts
                    from (
                        select distinct coalesce(a.outcome, 'under_way'), a.retry_id
                        from public.sms_send_attempts a
                        where a.begun_at > status_of_sends.at - interval '1 hour'
                    ) t (outcome)
                    group by t.outcome
                ) o
            ),
            'hours', array(
                select jsonb_build_object(
                    'hour', a.hour,
                    'delivery', a.delivery,
                    'texts', sum(a.texts)
                )
                from accepted a
                group by a.hour, a.delivery
            ),
            'undelivered', array(
                select jsonb_build_object(
                    'code', u.code,
                    'businesses', u.businesses,
                    'business', left(b.name, 200),
                    'texts', u.texts
                )
                from (
                    select
                        a.code,
                        count(*) as texts,
                        count(distinct i.id) as businesses,
                        min(i.id::text) as a_business
                    from accepted a
                    cross join unnest(a.business_ids) i (id)
                    where a.delivery = 'undelivered'
                    group by a.code
                ) u
                left join public.businesses b
                    on u.businesses = 1 and b.id::text = u.a_business
                order by u.texts desc, u.code
            )
        )
    );
end
$$;

-- ======== schemas/desk/status_of_states.sql ========
-- Count for sms_status the texts that have not ended, by state and reason, as list_sms finds them.
-- A million may only wait for their time: those are all texts that are not held, counted from an
-- index alone, less those that are due.
--   oldest: the earliest due time
--   next_at: the next due time to come
create or replace function smsretry.status_of_states(at timestamptz)
returns table (
    state text,
    why_code text,
    texts bigint,
    oldest timestamptz,
    next_at timestamptz
)
language plpgsql stable set search_path = pg_catalog, pg_temp
set enable_bitmapscan = off set enable_sort = off as $$ -- an index has all of it
#variable_conflict use_column
begin
    return query
    with not_just_waiting as materialized (
        select
            q.work,
            q.why_code,
            min(q.in_doubt_since) as in_doubt_since,
            min(q.held_since) as held_since,
            min(q.scheduled_for) as oldest,
            count(*) as texts
        from (
            select due.*
            from public.sms_retry_queue due
            where due.work = 'texts' and due.scheduled_for <= status_of_states.at
            union all
            select held.*
            from public.sms_retry_queue held
            where held.work = 'texts'
              and held.held_since is not null
              and held.scheduled_for > status_of_states.at
            union all
            select other.*
            from public.sms_retry_queue other
            where other.work in ('doubtful', 'suspect', 'under_way')
        ) q
        group by
            q.work,
            q.why_code,
            q.in_doubt_since is null,
            q.held_since is null,
            q.scheduled_for > status_of_states.at
    ),
    counted as (
        select
            smsretry.live_state(
                c.work,
                c.in_doubt_since,
                c.held_since,
                c.oldest,
                status_of_states.at
            ) as state,
            c.why_code::text,
            c.texts,
            c.oldest
        from not_just_waiting c
        union all
        select 'waiting', waiting.why_code::text, waiting.texts, earliest.scheduled_for
        from (
            select
                not_held.why_code,
                not_held.texts - coalesce(due.texts, 0) as texts
            from (
                select q.why_code, count(*) as texts
                from public.sms_retry_queue q
                where q.work = 'texts' and q.held_since is null
                group by q.why_code
            ) not_held
            left join not_just_waiting due
                on due.work = 'texts'
                  and due.held_since is null
                  and due.why_code is not distinct from not_held.why_code
        ) waiting
        cross join lateral (
            select q.scheduled_for
            from public.sms_retry_queue q
            where q.work = 'texts'
              and q.held_since is null
              and q.why_code is not distinct from waiting.why_code
              and q.scheduled_for > status_of_states.at
            order by q.work, q.scheduled_for, q.id
            limit 1
        ) earliest
        where waiting.texts > 0
        union all
        select
            smsretry.planned_state(s),
            s.why_code::text,
            1,
            smsretry.on_calendar(s.scheduled_for) -- the application may have written infinity
        from public.scheduled_sends s
        where s.status = 'scheduled' and s.send_log_id is null
    )
    select
        c.state,
        c.why_code,
        sum(c.texts)::bigint,
        min(c.oldest),
        min(c.oldest) filter (where c.oldest > status_of_states.at)
    from counted c
    group by c.state, c.why_code;
end
$$;

-- ======== schemas/desk/texts_that_fit.sql ========
-- Find the texts and scheduled sends that fit a filter, those that changed last first.
--   which: an object; what it lacks filters nothing:
--     retry_ids, business_id, customer_id, code (0: without one), why_code, states: of the text
--     since, until: it last changed then or later, then or earlier
--     send: an outcome, under_way or a word of smsretry.delivery_of: it has such a send; since, until
--       and code are then the send's
--     sender: by its id or the provider's: it is in the queue, and goes out from that
--     due_by: it is due then or earlier
--     needs_person: it waits for a person
create or replace function smsretry.texts_that_fit(which jsonb)
returns setof uuid
language plpgsql stable set search_path = pg_catalog, pg_temp
-- A generic plan would read the whole table.
set plan_cache_mode = force_custom_plan as $$
declare
    k_fields constant text[] := '{retry_ids,business_id,customer_id,code,why_code,states,since,until,send,sender,due_by,needs_person}';
    v_now constant timestamptz := smsretry.clock();
    v_filter record;
    v_statuses text[];
    v_is_default boolean;
    v_own text[]; -- businesses and classes with a sender of their own; of the default sender, all
begin
    if which = '{}'
        or exists (
            select from jsonb_object_keys(which) k
            where k <> all (k_fields)
        )
    then
        raise exception 'Say which texts, by %', array_to_string(k_fields, ', ')
            using errcode = 'SR422';
    end if;
    select *
    into v_filter
    from jsonb_to_record(which) f (
        retry_ids uuid[],
        business_id uuid,
        customer_id uuid,
        code integer,
        why_code text,
        states text[],
        since timestamptz,
        until timestamptz,
        send text,
        sender text,
        due_by timestamptz,
        needs_person boolean
    );
    if v_filter.send is not null then
        v_filter.retry_ids := array(
            select distinct a.retry_id
            from public.sms_send_attempts a
            where case
                    when v_filter.send in ('delivered', 'undelivered', 'unknown', 'open')
                        then a.twilio_sid is not null
                          and not a.delivery_excused
                          and smsretry.delivery_of(a.delivery_status) = v_filter.send
                          and (v_filter.code is null or coalesce(a.delivery_code, 0) = v_filter.code)
                    else coalesce(a.outcome, 'under_way') = v_filter.send
                      and (v_filter.code is null or coalesce(a.error_code, 0) = v_filter.code)
                end
              and (v_filter.since is null or a.begun_at > v_filter.since)
              and (v_filter.until is null or a.begun_at <= v_filter.until)
              and (v_filter.retry_ids is null or a.retry_id = any (v_filter.retry_ids))
        );
        v_filter.since := null;
        v_filter.until := null;
        v_filter.code := null;
    end if;
    if v_filter.sender is not null then
        select d.is_default, array(
            select o.business_id || ' ' || o.message_class
            from smsretry.own_senders o
            where (o.sender_id = s.id) <> d.is_default
        )
        into v_is_default, v_own
        from smsretry.senders s
        cross join lateral (
            select s.id is not distinct from (smsretry.sender_of(null, null)).id
        ) d (is_default)
        where v_filter.sender in (s.id::text, s.sent_by);
    end if;
    if v_filter.states <@ '{under_way,in_doubt,held,due,waiting}'
        and num_nonnulls(v_filter.retry_ids, v_filter.customer_id) = 0
    then -- by the index of what has not ended
        v_filter.retry_ids := array(
            select q.id
            from public.sms_retry_queue q
            where q.work is not null
              and smsretry.live_state(q.work, q.in_doubt_since, q.held_since, q.scheduled_for, v_now) = any (v_filter.states)
            union all
            select s.id
            from public.scheduled_sends s
            where s.status = 'scheduled'
        );
    end if;
    v_statuses := array(
        select unnest(
            case s
                when 'sent' then array['completed']
                when 'under_way' then array['processing']
                when 'in_doubt' then array['pending', 'processing']
                when 'held' then array['pending', 'scheduled']
                when 'due' then array['pending']
                when 'waiting' then array['pending']
                else array[s]
            end
        )
        from unnest(
            coalesce(v_filter.states, '{sent,under_way,in_doubt,held,failed,cancelled}')
        ) s
    );
    return query
    select t.retry_id
    from smsretry.text_on_record t
    where t.kind <> 'send log'
      -- is not false: by the ids or the customer alone; with old statistics an index of all live
      -- rows is walked
      and case
          when num_nonnulls(v_filter.retry_ids, v_filter.customer_id) = 0
              then t.status = any (v_statuses)
          else (t.status = any (v_statuses)) is not false
      end
      and (v_filter.retry_ids is null or t.retry_id = any (v_filter.retry_ids))
      and (v_filter.business_id is null or t.business_id = v_filter.business_id)
      and (v_filter.customer_id is null or t.customer_id = v_filter.customer_id)
      and (v_filter.code is null or coalesce(t.code, 0) = v_filter.code)
      and (v_filter.why_code is null or t.why_code = v_filter.why_code)
      and (v_filter.since is null or t.updated_at >= v_filter.since)
      and (v_filter.until is null or t.updated_at <= v_filter.until)
      and (v_filter.states is null or t.state = any (v_filter.states))
      and (
          v_filter.due_by is null
          or v_filter.due_by >= case t.kind when 'row' then t.next_at else t.planned_for end
      )
      and (v_filter.needs_person is null or t.needs_person = v_filter.needs_person)
      and (
          v_filter.sender is null
          or t.kind = 'row'
              and (t.business_id || ' ' || t.message_class = any (v_own)) <> v_is_default
      )
    order by t.updated_at desc, t.retry_id;
end
$$;

-- ======== schemas/desk/unread_sms_words.sql ========
-- List for a person who wrote what may mean stop, at each business that has not said yet what it
-- means; the oldest first. The words are at the provider, by their SID; record_sms_consent records
-- what they mean.
create or replace function public.unread_sms_words()
returns table (
    twilio_sid text,
    received_at timestamptz,
    customer_id uuid,
    number text,
    business_id uuid,
    business text
)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_custom_plan as $$
begin
    return query
    select
        w.twilio_sid,
        w.received_at,
        w.customer_id,
        smsretry.masked(w.phone),
        w.business_id,
        left(b.name, 200)
    from smsretry.unread_words w
    left join public.businesses b on b.id = w.business_id
    order by w.received_at, w.twilio_sid, w.customer_id
    limit 500;
end
$$;

-- ======== schemas/desk/without_number.sql ========
-- Say whether whoever calls a function that has its owner's rights may read numbers and bodies.
create or replace function smsretry.may_read_numbers()
returns boolean
language sql stable set search_path = pg_catalog, pg_temp as $$
    select has_column_privilege(
        coalesce(nullif(current_setting('role'), 'none'), session_user),
        'public.customers',
        'phone',
        'select'
    )
$$;

-- Take numbers and bodies out of a line of preview_sms_retries, for who may see none; what was sent
-- is left out. The last seven digits of a number are others, so that it is from the same place; a
-- body is as long, in one of the two alphabets. A number may be in any column that somebody wrote:
-- an import that is off by one writes it into the time zone.
create or replace function smsretry.without_number(line jsonb)
returns jsonb
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
    v_sender constant jsonb := without_number.line -> 'sender';
    v_phone constant text := without_number.line ->> 'phone';
    v_digits constant text := regexp_replace(v_phone, '[^+0-9]', '', 'g');
    v_body constant text := without_number.line ->> 'body';
begin
    return (
        select jsonb_object_agg(
            e.key,
            case
                when jsonb_typeof(e.value) = 'string'
                    then to_jsonb(smsretry.numberless(e.value #>> '{}'))
                else e.value
            end
        )
        from jsonb_each(without_number.line) e
    )
        || '{"fingerprint": null, "sent_to": null, "sent_body": null, "sent_by": null, "other_bodies": [], "last_error": null}'
        || jsonb_build_object(
            'phone', case
                when v_digits ~ '^[+]1[0-9]{3}[01][0-9]{6}$' then '+10000000000'
                when v_digits ~ '[0-9]{7}$'
                    then left(v_digits, -7) || '2345678'
                        || case when v_digits <> v_phone then ' ' else '' end -- misspelled, too
                when v_phone <> '' then '…'
                else v_phone
            end,
            'body', case
                when btrim(v_body, E' \t\n\r\f') = '' then v_body
                else repeat(
                    case when v_body ~ '[^[:ascii:]]' then 'ы' else 'x' end,
                    length(v_body)
                )
            end,
            'sender', case
                when jsonb_typeof(v_sender) = 'object'
                    then v_sender
                        || jsonb_build_object(
                            'sent_by', smsretry.shown_sender(v_sender ->> 'sent_by')
                        )
                else 'null'
            end
        );
end
$$;

-- ======== schemas/checks/check_sms_retries.sql ========
-- Answer an uptime monitor: 'ok …', or an error that PostgREST answers with HTTP 503. It fails if
-- texts are overdue, queued or not, words unread for three days, sending or a sender stopped
-- (smsretry.stopped), the database was restored (smsretry.late_since), or no run finished within
-- max_minutes (null: smsretry.late_after). Volatile although it only reads: a HEAD request has
-- PostgREST count rows, and PostgreSQL would not call a stable function for that. security definer,
-- so that a role that may do nothing else may call it: it returns only numbers.
create or replace function public.check_sms_retries(
    max_minutes integer default null
)
returns text
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_custom_plan as $$
declare
    v_now constant timestamptz := smsretry.clock();
    v_since constant timestamptz := v_now - case
        when max_minutes is null then smsretry.late_after()
        else make_interval(mins => greatest(max_minutes, 1))
    end;
    v_stopped text;
    v_problem text;
begin
    select case
        when bool_or(x.kind = 'everybody') then 'sending is stopped: '
        else 'stopped senders (' || count(*) || '): '
    end || (array_agg(x.why order by x.kind, x.since))[1]
    into v_stopped
    from smsretry.stopped x
    where x.kind in ('everybody', 'sender');
    select concat_ws(
        ' · ',
        string_agg(
            concat_ws(
                ' ',
                case l.name
                    when 'due' then 'overdue texts:'
                    when 'restored'
                        then 'the database was restored from a backup and knows nothing'
                    when 'scheduled' then 'scheduled sends overdue and not queued:'
                    when 'words'
                        then 'people who wrote what may mean stop, unread:'
                    else 'no run has finished'
                end,
                l.texts,
                coalesce(
                    'since '
                        || to_char(
                            l.oldest at time zone 'UTC',
                            'YYYY-MM-DD HH24:MI'
                        ) || ' UTC',
                    'in 7 days'
                )
            ),
            ' · '
            order by l.name
        ),
        v_stopped
    )
    into v_problem
    from smsretry.late_since(v_since) l;
    if v_problem <> '' then
        raise exception '%', v_problem
            using errcode = 'PT503',
                  hint = 'Run `smsretry status`, then `smsretry doctor`.';
    end if;
    return 'ok, '
        || coalesce(
            (
                select 'last run finished '
                    || to_char(
                        max(r.finished_at) at time zone 'UTC',
                        'YYYY-MM-DD HH24:MI:SS'
                    ) || ' UTC'
                from smsretry.runs r
                where r.started_at > v_now - interval '7 days'
            ),
            'the first run is under way'
        );
end
$$;

-- ======== schemas/checks/examine_sms_retries.sql ========
-- Examine for `smsretry doctor` what the catalog has of us and of the tables that we share. Each
-- object comes with the md5 of its definition and of what the roles of a request may do with it:
-- the same on PostgreSQL 15 to 18, after a dump, and however the server is set to print. The
-- application's own objects are among them; smsretry/adapters/migrations/checksums.tsv tells which
-- are ours. A table of ours is one object with all its columns; of a shared one each column is, and
-- rights only of the queue. The clock is left out: the embedded stack's moves.
create or replace function public.examine_sms_retries()
returns jsonb
language sql stable set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_custom_plan set timezone = 'UTC' set datestyle = 'ISO'
set intervalstyle = 'postgres' set quote_all_identifiers = off as $$
    with roles (id, name) as (
        select o.oid, o.rolname || ' '
        from pg_roles o
        where o.rolname in ('anon', 'authenticated', 'service_role')
    ),
    relations (id, named, ours, guarded) as (
        select
            c.oid,
            c.oid::regclass::text,
            o.ours,
            o.ours or c.relname = 'sms_retry_queue'
        from pg_class c
        join pg_namespace n on n.oid = c.relnamespace
        cross join lateral (
            select n.nspname = 'smsretry'
                or c.relname = 'sms_send_attempts'
        ) o (ours)
        where c.relkind in ('r', 'p', 'v')
          and (
              n.nspname = 'smsretry'
              or n.nspname = 'public'
                  and c.relname in (
                      'businesses',
                      'customers',
                      'send_logs',
                      'scheduled_sends',
                      'sms_retry_queue',
                      'sms_send_attempts'
                  )
          )
    ),
    columns (id, name, definition, rights) as (
        select
            r.id,
            a.attname::text,
            concat_ws(
                ' ',
                a.attname,
                format_type(a.atttypid, a.atttypmod),
                a.attidentity,
                a.attgenerated,
                case
                    when r.ours
                        then concat_ws(
                            ' ',
                            a.attnotnull,
                            pg_get_expr(d.adbin, d.adrelid)
                        )
                end
            ),
            (
                select string_agg(o.name || p.name, ',' order by o.name, p.name)
                from roles o
                cross join unnest('{select,insert,update}'::text[]) p (name)
                where r.guarded
                  and has_column_privilege(o.id, r.id, a.attnum, p.name)
            )
        from relations r
        join pg_attribute a
            on a.attrelid = r.id
              and a.attnum > 0
              and not a.attisdropped
        left join pg_attrdef d
            on d.adrelid = a.attrelid and d.adnum = a.attnum
    ),
    objects (object, definition) as (
        -- Without our search_path a function is the application's, which may be in the way of one
        -- of ours.
        select
            case
                when n.nspname = 'smsretry'
                  or 'search_path=pg_catalog, pg_temp' = any (p.proconfig)
                    then ''
                else 'foreign '
            end || 'function ' || p.oid::regprocedure,
            concat(
                pg_get_functiondef(p.oid),
                (
                    select string_agg(o.name, '' order by o.name)
                    from roles o
                    where has_function_privilege(o.id, p.oid, 'execute')
                )
            )
        from pg_proc p
        join pg_namespace n
            on n.oid = p.pronamespace
              and n.nspname in ('public', 'smsretry')
        where p.prokind in ('f', 'p')
          and p.oid::regprocedure::text <> 'smsretry.clock()'
        union all
        select
            'schema smsretry',
            string_agg(o.name, '' order by o.name)
        from roles o
        where has_schema_privilege(o.id, to_regnamespace('smsretry'), 'usage')
        union all
        select
            'domain ' || k.contypid::regtype,
            string_agg(pg_get_constraintdef(k.oid), '' order by k.conname)
        from pg_constraint k
        where k.contypid <> 0
          and k.connamespace = to_regnamespace('smsretry')
        group by k.contypid
        union all
        select
            case c.relkind when 'v' then 'view ' else 'table ' end || r.named,
            concat(
                c.relkind,
                c.relpersistence,
                c.relrowsecurity,
                case when r.ours then c.relforcerowsecurity end,
                case c.relkind
                    when 'v' then concat(c.reloptions, pg_get_viewdef(r.id))
                end,
                (
                    select string_agg(
                        concat(o.definition, o.rights),
                        ','
                        order by o.name
                    )
                    from columns o
                    where o.id = r.id and r.ours
                ),
                (
                    select string_agg(o.name || p.name, ',' order by o.name, p.name)
                    from roles o
                    cross join unnest('{delete,truncate}'::text[]) p (name)
                    where r.guarded and has_table_privilege(o.id, r.id, p.name)
                )
            )
        from relations r
        join pg_class c on c.oid = r.id
        union all
        select
            o.object || r.named || '.' || c.name,
            o.definition
        from relations r
        join columns c on c.id = r.id
        cross join lateral (
            values
                ('column ', c.definition),
                ('rights on ', c.rights)
        ) o (object, definition)
        where not r.ours and (r.guarded or o.object = 'column ')
        union all
        select
            'constraint ' || k.conname || ' on ' || r.named,
            regexp_replace(pg_get_constraintdef(k.oid), ' NOT VALID$', '')
        from relations r
        join pg_constraint k
            on k.conrelid = r.id
              and k.contype in ('c', 'f', 'p', 'u', 'x')
        union all
        -- It says ON ONLY for a partitioned table.
        select
            'index ' || c.relname || ' on ' || r.named,
            concat(
                replace(pg_get_indexdef(i.indexrelid), ' ON ONLY ', ' ON '),
                i.indisvalid and i.indisready and i.indislive
            )
        from relations r
        join pg_index i on i.indrelid = r.id
        join pg_class c on c.oid = i.indexrelid
        where not exists (
            select from pg_constraint k
            where k.conindid = i.indexrelid
              and k.contype in ('p', 'u', 'x')
        )
        union all
        select
            'trigger ' || t.tgname || ' on ' || r.named,
            concat(pg_get_triggerdef(t.oid), t.tgenabled in ('O', 'A'))
        from relations r
        join pg_trigger t
            on t.tgrelid = r.id and not t.tgisinternal
        union all
        select
            'policy ' || quote_ident(p.polname) || ' on ' || r.named,
            concat(
                p.polcmd,
                p.polpermissive,
                p.polroles::regrole[],
                pg_get_expr(p.polqual, p.polrelid),
                pg_get_expr(p.polwithcheck, p.polrelid)
            )
        from relations r
        join pg_policy p on p.polrelid = r.id
    )
    -- Up to version 15 PostgreSQL names the table of each column; brackets are set anew when a dump
    -- is read; a cast to text, and then a name for its column, is written where the application's
    -- column is a varchar.
    select jsonb_object_agg(
        o.object,
        md5(
            case
                when o.object like '%function %' then o.definition
                else regexp_replace(
                    o.definition,
                    '[\s()]+|\sAS \w+|::text\M(?!\[)|\m[a-z_]+\.(?=[a-z_])',
                    '',
                    'g'
                )
            end
        )
    )
    from objects o
$$;

-- ======== schemas/checks/late_since.sql ========
-- Report what has been late since then, for monitors. A row each:
--   run: no run has finished; oldest: when the last one did
--   due: texts
--   scheduled: scheduled sends that are not queued
--   words: what nobody has read for three days (47 CFR 64.1200(a)(10) gives ten business days)
--   restored: for an hour, a restore from a backup that a run noticed; oldest: the backup's time
create or replace function smsretry.late_since(since timestamptz)
returns table (name text, texts bigint, oldest timestamptz)
language plpgsql stable set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_custom_plan as $$
begin
    return query
    select 'run', null::bigint, max(r.finished_at)
    from smsretry.runs r
    where r.started_at > late_since.since - interval '7 days'
    -- The first one of all may be under way still.
    having coalesce(
        max(r.finished_at),
        min(r.started_at)
    ) > late_since.since is not true
    union all
    select 'due', count(*), min(q.scheduled_for)
    from public.sms_retry_queue q
    where q.work in ('texts', 'suspect')
      and q.in_doubt_since is null
      and q.held_since is null
      and q.scheduled_for <= late_since.since
    having count(*) > 0
    union all
    select
        'scheduled',
        count(*),
        min(smsretry.on_calendar(s.scheduled_for))
    from public.scheduled_sends s
    where s.status = 'scheduled'
      and s.held_since is null
      and s.scheduled_for <= late_since.since
    having count(*) > 0
    union all
    select
        'words',
        count(distinct w.phone),
        min(w.received_at)
    from smsretry.unread_words w
    where w.received_at <= smsretry.clock() - interval '3 days'
    having count(*) > 0
    union all
    select 'restored', null, min(r.since)
    from smsretry.restores r
    where r.run_id is not null
      and r.restored_at > late_since.since - interval '1 hour'
    having count(*) > 0;
end
$$;

-- ======== schemas/checks/sample_sms_customers.sql ========
-- Sample numbers, their last four digits zeros, zones and consent of customers, for `smsretry doctor` and
-- `smsretry migrate`. From pages all over the table, so that a large one costs no more.
create or replace function public.sample_sms_customers()
returns jsonb
language plpgsql stable set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_custom_plan as $$
declare
    k_most constant integer := 2000;
    v_customers constant real := (
        select greatest(c.reltuples, 1)
        from pg_class c
        where c.oid = 'public.customers'::regclass
    );
begin
    return (
        select coalesce(jsonb_agg(to_jsonb(s)), '[]')
        from (
            select
                regexp_replace(
                    left(c.phone, 40),
                    '[0-9]{4}([^0-9]*)$',
                    '0000\1'
                ) as phone,
                left(c.timezone, 100) as timezone,
                smsretry.numberless(smsretry.consent(c.sms_consent_status::text)) as consent
            from public.customers c tablesample system (
                least(200.0 * k_most / v_customers, 100)
            )
            where c.phone <> ''
            limit k_most
        ) s
    );
end
$$;

-- ======== schemas/checks/sample_text.sql ========
-- Make a send log to rehearse with: a new one of a new customer, if the application's tables take
-- them; otherwise one of its customers, and one of its logs, which then say what new ones would.
-- Raises if there is none. Call it only inside a block that is rolled back. security definer,
-- because service_role may not insert the application's rows.
create or replace function smsretry.sample_text()
returns uuid
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
    v_customer uuid := gen_random_uuid();
    v_log uuid := gen_random_uuid();
begin
    begin
        insert into public.businesses (user_id, name, timezone)
        select
            gen_random_uuid(),
            'Rehearsal',
            'America/New_York'
        where not exists (select from public.businesses);
        insert into public.customers (id, business_id, phone, sms_consent_status)
        select v_customer, b.id, '+15005550006', 'opted_in'
        from public.businesses b
        limit 1;
    exception
        when others then
            select c.id
            into v_customer
            from public.customers c
            where c.phone::text ~ '^[+][1-9][0-9]{7,14}$'
            limit 1
            for update skip locked;
            if not found then
                raise; -- why none can be made
            end if;
    end;
    begin
        insert into public.send_logs (
            id,
            business_id,
            customer_id,
            channel,
            subject
        )
        select
            v_log,
            c.business_id,
            c.id,
            'sms',
            'Rehearsal'
        from public.customers c
        where c.id = v_customer;
    exception
        when others then
            select l.id, c.id
            into v_log, v_customer
            from (
                select *
                from public.send_logs
                limit 1000
            ) l
            join public.customers c
                on c.id = l.customer_id and c.business_id = l.business_id
            where l.channel = 'sms'
              and c.phone::text ~ '^[+][1-9][0-9]{7,14}$'
              and not exists (
                  select from public.sms_retry_queue q
                  where q.send_log_id = l.id
                    and q.status in ('pending', 'processing')
              )
              and not exists (
                  select from smsretry.earlier_doubt(l.id, l.business_id) d
                  where d.attempt_id is not null
              )
            limit 1
            for update of c, l skip locked;
            if not found then
                raise;
            end if;
            update public.send_logs l
            set status = 'pending', provider_message_id = null
            where l.id = v_log;
    end;
    update public.customers c
    set
        sms_consent_status = 'opted_in',
        sms_consent_at = smsretry.clock()
    where c.id = v_customer;
    return v_log;
end
$$;

-- ======== schemas/checks/try_sms_retry_queue.sql ========
-- Try whether a text would go out, for `smsretry doctor` and `smsretry migrate`. Everything is
-- rolled back. A row each:
--   rehearsal of a text: and of a STOP, and of a scheduled send where one waits. ok is false if a
--     step failed; advice says which and why, or why it could not be tried now
--   what defaults and triggers write: another number, time or class than was given, and whether the
--     triggers that keep opt-outs are switched off
--   mark of the database: whether a worker that texts send_to and reaches the database at address
--     fits it
create or replace function public.try_sms_retry_queue(
    send_to text default 'nobody',
    address text default null
)
returns table (subject text, ok boolean, advice text)
language plpgsql set search_path = pg_catalog, pg_temp
set lock_timeout = '2s' as $$
declare
    v_row public.sms_retry_queue;
    v_attempt_id constant uuid := gen_random_uuid();
    v_step text;
    v_answer text;
    v_state text;
    v_context text;
    v_hint text;
    v_due constant timestamptz := smsretry.clock();
    v_changes text;
    v_began constant timestamptz := clock_timestamp();
begin
    subject := 'rehearsal of a text';
    begin
        v_step := 'claim_sms_texts';
        perform from public.claim_sms_texts(0); -- none: the due rows are not ours to take
        v_step := 'number_key';
        -- without it nobody's opt-out is recognized
        perform smsretry.number_key(v_attempt_id, '+15005550006');
        v_step := 'making a sample text';
        v_row.send_log_id := smsretry.sample_text();
        v_changes := concat_ws(
            '. ',
            (
                select 'session_replication_role switches the triggers off that keep opt-outs: reset it for '
                    || coalesce(min(r.rolname), 'the database')
                from pg_catalog.pg_db_role_setting s
                left join pg_catalog.pg_roles r on r.oid = s.setrole
                where 'session_replication_role=replica' = any (s.setconfig)
                  and coalesce(r.rolname, 'authenticator') in (
                      'authenticator',
                      'authenticated',
                      'service_role'
                  )
                having count(*) > 0
            ),
            (
                select 'A trigger on customers writes numbers in another form than E.164, and their texts are held'
                from public.send_logs l
                join public.customers c on c.id = l.customer_id
                where l.id = v_row.send_log_id
                  and c.phone::text !~ '^[+][1-9][0-9]{7,14}$'
            )
        );
        v_changes := concat_ws(
            '. ',
            nullif(v_changes, ''),
            (
                select 'The default of sms_retry_queue.status is '
                    || pg_get_expr(d.adbin, d.adrelid)
                    || ', and only pending is queued: alter table public.sms_retry_queue alter status set default ''pending'''
                from pg_attrdef d
                join pg_attribute a on a.attrelid = d.adrelid and a.attnum = d.adnum
                where d.adrelid = 'public.sms_retry_queue'::regclass
                  and a.attname = 'status'
                  and pg_get_expr(d.adbin, d.adrelid) not like '''pending''%'
            )
        );
        v_step := 'an insert of the application''s';
        insert into public.sms_retry_queue (
            business_id,
            send_log_id,
            customer_id,
            status,
            attempt_count,
            max_attempts,
            scheduled_for,
            last_error,
            reason
        )
        select
            l.business_id,
            l.id,
            l.customer_id,
            'pending',
            0,
            3,
            v_due,
            'Rehearsal',
            'twilio_error'
        from public.send_logs l
        where l.id = v_row.send_log_id;
        v_changes := concat_ws(
            '. ',
            nullif(v_changes, ''),
            (
                select 'A default or a trigger on sms_retry_queue changes when a text is due, or its message_class from marketing'
                from public.sms_retry_queue q
                where q.send_log_id = v_row.send_log_id
                  and q.status = 'pending'
                  and (
                      q.scheduled_for > v_due + interval '1 minute'
                      or q.message_class <> 'marketing'
                  )
            )
        );
        update public.sms_retry_queue q
        set status = 'cancelled'
        where q.send_log_id = v_row.send_log_id;
        if clock_timestamp() - v_began > interval '1 second' then
            v_changes := concat_ws(
                '. ',
                nullif(v_changes, ''),
                'A trigger on customers, send_logs or sms_retry_queue takes more than a second, for which each text waits: make it faster'
            );
        end if;
        v_step := 'queue_sms_retry';
        perform from public.queue_sms_retry(v_row.send_log_id);
        select q.*
        into v_row
        from public.sms_retry_queue q
        where q.send_log_id = v_row.send_log_id
          and q.status = 'pending';
        delete from smsretry.business_senders b
        where b.business_id = v_row.business_id; -- else a pause or a cap would answer
        v_step := 'claim_sms_retry';
        v_row.claim_no := (
            public.claim_sms_retry(v_row.id) -> 'texts' -> 0 ->> 'claim_no'
        )::bigint;
        if v_row.claim_no is null then
            raise exception 'it took no row: a trigger or a rule may have swallowed its update'
                using errcode = 'SR500';
        end if;
        v_step := 'begin_sms_attempt';
        select b.answer || coalesce(': ' || b.why, '')
        into v_answer
        from public.begin_sms_attempt(
            retry_id => v_row.id,
            claim_no => v_row.claim_no,
            attempt_id => v_attempt_id,
            send_before => smsretry.clock() + interval '1 hour',
            quiet_hours_rule => 'rehearsal',
            send_to => 'listed',
            listed => true
        ) b; -- else a mark would answer
        if v_answer = 'go' then
            v_step := 'finish_sms_attempt';
            perform from public.finish_sms_attempt(
                retry_id => v_row.id,
                claim_no => v_row.claim_no,
                attempt_id => v_attempt_id,
                next_status => 'completed',
                outcome => 'accepted',
                twilio_sid => 'SM' || replace(v_attempt_id::text, '-', '')
            );
            select format(
                'that its row is %s, and its send log %s',
                q.status,
                l.status
            )
            into v_answer
            from public.sms_retry_queue q
            left join public.send_logs l on l.id = q.send_log_id
            where q.id = v_row.id;
            v_step := case
                when v_answer <> 'that its row is completed, and its send log sent'
                    then v_step
            end;
        end if;
        if v_step is null
            and exists (
                select from public.scheduled_sends s
                where s.status = 'scheduled'
            ) then
            v_step := 'schedule_sms';
            v_row.id := (
                select s.scheduled_id
                from public.schedule_sms(
                    v_row.business_id,
                    v_row.customer_id,
                    'Rehearsal',
                    smsretry.clock()
                ) s
            );
            v_step := 'queue_scheduled_sms';
            perform from public.scheduled_sends s
            cross join lateral smsretry.queue_scheduled(
                s,
                smsretry.clock(),
                interval '1 day'
            )
            where s.id = v_row.id;
            v_step := null;
        end if;
        if v_step is null then
            v_step := 'record_inbound_sms';
            perform from public.customers c
            cross join lateral public.record_inbound_sms(
                c.phone,
                'SM' || replace(v_attempt_id::text, '-', ''),
                'STOP'
            )
            where c.id = v_row.customer_id;
            v_step := null;
        end if;
        raise exception 'it answered %', v_answer using errcode = 'SR500';
    exception
        when query_canceled or others then
            get stacked diagnostics
                v_state = returned_sqlstate,
                v_answer = message_text,
                v_context = pg_exception_context,
                v_hint = pg_exception_hint;
    end;
    -- No text to try with, or a lock: nothing is known to be wrong.
    ok := v_state <> '57014'
        and (
            v_step is null
            or v_step = 'making a sample text'
            or v_state in ('55P03', '40P01')
        );
    advice := case
        when ok then 'would not go out now, or could not be tried: '
        else 'fails: '
    end || v_step || ' (' || v_state || '): '
        || left(smsretry.numberless(v_answer), 300)
        || coalesce(
            ' in '
                || nullif(
                    substring(v_context from 'function (\S+)\('),
                    'public.try_sms_retry_queue'
                ),
            ''
        )
        || case
            when v_state = '42501'
                then '. A grant is missing: run `smsretry migrate --again`'
            when exists (
                select from pg_catalog.pg_roles r
                where r.rolname = current_user
                  and v_state like 'SR%'
                  and not (r.rolbypassrls or r.rolsuper)
            )
                then '. Row level security hides rows from it: alter role ' || current_user || ' bypassrls'
            when v_state in ('42P01', '42883', '42704', '3F000')
                then '. A trigger''s function that finds tables by bare names needs: alter function … set search_path = public'
            else coalesce('. ' || nullif(smsretry.numberless(v_hint), ''), '')
        end;
    return next;
    subject := 'what defaults and triggers write';
    ok := coalesce(v_changes, '') = '';
    advice := nullif(v_changes, '');
    return next;
    subject := 'mark of the database';
    advice := smsretry.mark_mismatch(
        try_sms_retry_queue.send_to,
        try_sms_retry_queue.address
    );
    ok := advice is null;
    return next;
end
$$;

-- ======== schemas/triggers/triggers.sql ========
-- Triggers on writes that are not ours. To replace one lets readers go on, unlike to drop it.

-- Triggers fire in the order of their names, and others may change the status.
create or replace trigger zz_smsretry_guard_row
    before insert or update on public.sms_retry_queue for each row execute function smsretry.guard_row();

create or replace trigger smsretry_guard_attempt
    before insert or update on public.sms_send_attempts for each row execute function smsretry.guard_attempt();

create or replace trigger smsretry_scheduled_send_changed
    before update on public.scheduled_sends for each row execute function smsretry.scheduled_send_changed();

-- A statement at a time: an application imports customers by the thousand.
create or replace trigger smsretry_keep_inserted
    after insert on public.customers
    referencing new table as customers_after
    for each statement execute function smsretry.keep_consent();

create or replace trigger smsretry_keep_updated
    after update on public.customers
    referencing old table as customers_before new table as customers_after
    for each statement execute function smsretry.keep_consent();

create or replace trigger smsretry_keep_deleted
    after delete on public.customers
    referencing old table as customers_before
    for each statement execute function smsretry.keep_consent();

create or replace trigger smsretry_decide_anew
    after update on public.customers
    referencing old table as customers_before new table as customers_after
    for each statement execute function smsretry.recheck_waiting();

create or replace trigger smsretry_decide_anew
    after update on public.businesses
    referencing old table as businesses_before new table as businesses_after
    for each statement execute function smsretry.recheck_waiting();

-- ======== schemas/rights/backend.sql ========
-- Only the backend calls our functions, and reads the tables in the schema smsretry: a Supabase
-- project lets everybody call a new function in public, and default privileges may be wide. A call
-- in public is ours if it has sms in its name and our search_path.
revoke all on all functions in schema smsretry from public, anon, authenticated;
grant execute on all functions in schema smsretry to service_role;
revoke all on all tables in schema smsretry from public, anon, authenticated;
grant select on all tables in schema smsretry to service_role;
grant insert on smsretry.consents, smsretry.events, smsretry.restores to service_role;
grant update (phone, was, mark_at) on smsretry.consents to service_role;
grant insert, update on smsretry.runs to service_role;
grant insert, update, delete on smsretry.mark, smsretry.senders, smsretry.business_senders, smsretry.stops, smsretry.turns to service_role;

-- PostgREST keeps its connections, and PL/pgSQL keeps on each the plans that were made when it was
-- first called
-- (https://www.postgresql.org/docs/current/plpgsql-implementation.html#PLPGSQL-PLAN-CACHING). A
-- plan that was made while the tables were small reads them whole when a day's texts have come at
-- once, until autovacuum comes; one that was made while a table had no page at all reads it whole
-- for good. So calls that look rows up plan as if an index were almost free, and read whole only
-- what has no index; those that read much say themselves that each statement is planned anew. Our
-- triggers plan so, too, because they fire in statements of the application's; and a trigger of the
-- application's that fires first in such a call does. (jit: no plan is as dear as it looks then.)
do $$
declare
    ours record;
begin
    for ours in
        select
            p.oid::regprocedure as name,
            exists (
                select from unnest(p.proconfig) s (setting)
                where s.setting like 'plan\_cache\_mode=%'
            ) as reads_much
        from pg_catalog.pg_proc p
        where p.pronamespace = 'smsretry'::regnamespace
          and p.prorettype = 'trigger'::regtype
          or p.pronamespace = 'public'::regnamespace
              and p.proname ~ '(^|_)sms(_|$)'
              and 'search_path=pg_catalog, pg_temp' = any (p.proconfig)
    loop
        execute format(
            'revoke all on function %1$s from public, anon, authenticated; grant execute on function %1$s to service_role',
            ours.name
        );
        if not ours.reads_much then
            execute format(
                'alter function %s set random_page_cost = 0.1 set enable_seqscan = off set jit = off',
                ours.name
            );
        end if;
    end loop;
end
$$;

-- ======== schemas/rights/reader.sql ========
-- The role of who only reads: it may ask the desk's questions, and nothing else. A token with "role":
-- "smsretry_reader" is its key. The questions are security definer: their answers are made from
-- numbers and bodies, which a role that asked as itself could read, too; and the application's
-- tables would need policies and grants for it.
do $$
declare
    question regprocedure;
begin
    if not exists (
        select from pg_catalog.pg_roles
        where rolname = 'smsretry_reader'
    ) then
        begin
            create role smsretry_reader nologin noinherit;
        exception
            when duplicate_object or unique_violation then
                null; -- another database of this server makes it at this moment
            when insufficient_privilege then
                raise warning 'There is no role smsretry_reader, because % may create none: reading needs the service key. A role that may can run: create role smsretry_reader nologin noinherit; grant smsretry_reader to authenticator; then run `smsretry migrate --again`',
                    current_user;
                return;
        end;
    end if;
    if not exists (
        select from pg_catalog.pg_roles r
        where r.rolname = 'authenticator'
          and pg_has_role(r.oid, 'smsretry_reader', 'member')
    ) then
        begin
            grant smsretry_reader to authenticator;
        exception
            when insufficient_privilege or undefined_object then
                raise warning 'A token of the role smsretry_reader is refused until a role that may runs: grant smsretry_reader to authenticator';
        end;
    end if;
    grant usage on schema public to smsretry_reader;
    for question in
        select p.oid
        from pg_catalog.pg_proc p
        where p.pronamespace = 'public'::regnamespace
          and 'search_path=pg_catalog, pg_temp' = any (p.proconfig)
          and p.proname in (
              'explain_sms',
              'list_sms',
              'preview_sms_retries',
              'sms_businesses',
              'sms_report',
              'sms_senders',
              'sms_status',
              'unread_sms_words'
          )
    loop
        execute format('grant execute on function %s to smsretry_reader', question);
    end loop;
end
$$;

-- ======== PostgREST learns of the change at once ========
notify pgrst, 'reload schema';
