-- What was said about texts to a number at a business: one row a word, in their order and never
-- changed. prune_sms_history deletes what decides nothing any more. What holds is a view,
-- smsretry.standing_opt_outs. No foreign key: a word waits for nobody's lock.
--   said:
--     opted_out, opted_in: what the word means
--     seen: a row of the application's bears the date of an opt-in that lifts nothing, whichever
--       row bears it later
--     ended: an opt-out that a START takes back has ended the consent of a customer, which was
--       `was`
create table if not exists smsretry.consents (
    id bigint generated always as identity primary key,
    number_key bytea not null, -- smsretry.number_key
    business_id uuid, -- null: at each that gets a customer with the number later
    said text not null,
    source text, -- who received it, as customers.sms_consent_source has it
    at timestamptz not null, -- when it was kept, by the one clock
    -- the moment that it bears; null: an opt-in that was said to us, which follows whatever was
    -- kept before it
    dated timestamptz,
    senders text[], -- that received a STOP or START (smsretry.receivers_of); null: every sender
    customer_id uuid, -- whose consent ended, and was
    was text,
    constraint consents_said check (
        said in ('opted_out', 'opted_in', 'seen', 'ended')
    ),
    -- An opt-out's date is compared with those of later opt-ins, and what is seen is a date alone.
    constraint consents_dated check (
        said in ('opted_in', 'ended') or dated is not null
    ),
    constraint consents_source check (length(source) <= 200)
);

-- These keep the look for an opt-in cheap beside any number of STOPs, and of customers with one
-- number. id + 0: with statistics of a table that was emptied since, PostgreSQL would walk all
-- later words by the primary key.
create index if not exists consents_opted_out on smsretry.consents (number_key, id) where said = 'opted_out';
create index if not exists consents_opted_in on smsretry.consents (number_key, (id + 0)) where said in ('opted_in', 'seen');
create index if not exists consents_ended on smsretry.consents (customer_id, id) where said = 'ended';
