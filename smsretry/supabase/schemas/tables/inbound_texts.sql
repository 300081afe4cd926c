-- Texts that said STOP or START, by their SID: a repeated webhook changes nobody's consent. One
-- that only may mean stop waits here for a person, who reads it at Twilio. No words are kept.
create table if not exists smsretry.inbound_texts (
    twilio_sid text primary key,
    received_at timestamptz not null,
    --   YES: a START by that word
    --   unsure: it may mean stop (smsretry.means_stop)
    said text not null,
    senders text[], -- of ours that received it: smsretry.receivers_of
    phone text, -- who wrote what may mean stop, as long as nobody has said what it means
    businesses uuid[], -- that it concerns and that have not said what it means
    -- The last three columns are for the stories of texts to the number.
    number_key bytea not null, -- smsretry.number_key of the number alone
    written_to text, -- the service or number of ours, as people see it
    receivers_of uuid[], -- the businesses where it counted at once
    constraint inbound_texts_said check (
        said in ('STOP', 'START', 'YES', 'unsure')
    ),
    -- The number of any other is kept nowhere.
    constraint inbound_texts_phone check (
        phone is null or said = 'unsure'
    )
);
create index if not exists inbound_texts_unread on smsretry.inbound_texts using hash (phone) where phone is not null;
create index if not exists inbound_texts_number on smsretry.inbound_texts (number_key, received_at);
