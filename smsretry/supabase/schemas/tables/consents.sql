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
