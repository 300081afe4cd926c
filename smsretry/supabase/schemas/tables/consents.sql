-- What was said about texts to a number at a business, one row each time, in the order in which it was said. Rows are only ever
-- added: what stands is a view, smsretry.standing_opt_outs. There is no foreign key, so that a word waits for nobody's lock.
create table if not exists smsretry.consents (
    id bigint generated always as identity primary key,
    number_key bytea not null,
    business_id uuid not null,
    said text not null,
    source text,
    at timestamptz not null,
    dated timestamptz,
    senders text[],
    customer_id uuid,
    was text,
    constraint consents_said check (said in ('opted_out', 'opted_in', 'seen')),
    -- By its date an opt-out is compared with later opt-ins, and a date that is seen is nothing else.
    constraint consents_dated check (said = 'opted_in' or dated is not null),
    constraint consents_source check (length(source) <= 200)
);
comment on table smsretry.consents is 'What was said about texts to a number at a business. Append-only; smsretry.standing_opt_outs says what stands.';
comment on column smsretry.consents.number_key is 'smsretry.number_key: business and number, hashed.';
comment on column smsretry.consents.business_id is 'At which it was said. smsretry.everywhere: at each that gets a customer with the number later.';
comment on column smsretry.consents.said is 'seen: a row of the application''s bears the date of an opt-in that lifts nothing, whichever row bears it later.';
comment on column smsretry.consents.source is 'Who heard it, as customers.sms_consent_source has it.';
comment on column smsretry.consents.at is 'When it was kept, by the one clock.';
comment on column smsretry.consents.dated is 'The moment that it bears. Null: an opt-in that was said to us, which follows whatever was kept before it.';
comment on column smsretry.consents.senders is 'Which senders heard a STOP or START, as smsretry.heard_by has them. Null: every sender.';
comment on column smsretry.consents.was is 'Of an opt-out: what the consent of the customer was before it, which a START gives back.';

-- Two, so that no number of STOPs makes the look for an opt-in dear.
create index if not exists consents_opted_out on smsretry.consents (number_key, id) where said = 'opted_out';
create index if not exists consents_opted_in on smsretry.consents (number_key, id) where said <> 'opted_out';

-- Default privileges may be wide.
revoke all on smsretry.consents from public, anon, authenticated;
grant select, insert on smsretry.consents to service_role;
