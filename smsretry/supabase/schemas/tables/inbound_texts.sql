-- Texts that said STOP or START, by their SID: a repeated webhook changes nobody's consent. One that only may mean stop waits here
-- for a person, who reads it at Twilio. Its words are not kept.
create table if not exists smsretry.inbound_texts (
    twilio_sid text primary key,
    heard_at timestamptz not null,
    said text not null, -- YES: a START by that word · unsure: it may mean stop (smsretry.means_stop)
    number_key bytea not null, -- who said it, at no business in particular
    seen_at timestamptz, -- an unsure one no longer waits: a person recorded what it means, or a STOP or START followed
    senders text[], -- of ours that heard it: smsretry.heard_by
    constraint inbound_texts_said check (said in ('STOP', 'START', 'YES', 'unsure'))
);
create index if not exists inbound_texts_unseen on smsretry.inbound_texts (number_key) where said = 'unsure' and seen_at is null;
