-- Words about texts to a number at a business, one row each, in their order and never
-- changed. prune_sms_history deletes what decides nothing any more. What stands is a view,
-- smsretry.standing_opt_outs. No foreign key: a word waits for nobody's lock.
create table if not exists smsretry.consents (
    id bigint generated always as identity primary key,
    number_key bytea not null, -- smsretry.number_key
    business_id uuid, -- null: at each that gets a customer with the number later
    -- seen: a row of the application's bears the date of an opt-in that lifts nothing, whichever
    -- row bears it later
    -- ended: an opt-out that a START takes back has ended the consent of a customer, which was
    said text not null,
    source text, -- who received it, as customers.sms_consent_source has it
    at timestamptz not null, -- when it was kept, by the one clock
    -- the moment that it bears; null: an opt-in that was said to us, which follows whatever was
    -- kept before it
    dated timestamptz,
    senders text[], -- that received a STOP or START, as smsretry.receivers_of has them; null: every sender
    customer_id uuid,
    was text,
    constraint consents_said check (
        said in ('opted_out', 'opted_in', 'seen', 'ended')
    ),
    -- The date of an opt-out is compared with those of later opt-ins, and a date that is seen is nothing
    -- else.
    constraint consents_dated check (
        said in ('opted_in', 'ended') or dated is not null
    ),
    constraint consents_source check (length(source) <= 200)
);

-- So that no number of STOPs makes the look for an opt-in dear, and no number of customers with one
-- number either. id + 0: with statistics of a table that was emptied since, PostgreSQL would walk all
-- later words by the primary key.
create index if not exists consents_opted_out on smsretry.consents (number_key, id) where said = 'opted_out';
create index if not exists consents_opted_in on smsretry.consents (number_key, (id + 0)) where said in ('opted_in', 'seen');
create index if not exists consents_ended on smsretry.consents (customer_id, id) where said = 'ended';
