-- Texts that said STOP or START, by their SID: a repeated webhook changes nobody's consent. One that only may mean stop waits here
-- for a person, who reads it at Twilio. Its words are not kept.
create table if not exists smsretry.inbound_texts (
    twilio_sid text primary key,
    heard_at timestamptz not null,
    said text not null,
    number_key bytea not null,
    seen_at timestamptz,
    senders text[],
    constraint inbound_texts_said check (said in ('STOP', 'START', 'YES', 'unsure'))
);
comment on column smsretry.inbound_texts.said is 'YES: a START by that word. unsure: it may mean stop (smsretry.means_stop).';
comment on column smsretry.inbound_texts.number_key is 'Who said it, at no business in particular: smsretry.number_key.';
comment on column smsretry.inbound_texts.seen_at is 'When an unsure one stopped waiting for a person, who recorded what it means; or a STOP or START followed.';
comment on column smsretry.inbound_texts.senders is 'Which of ours heard it: smsretry.heard_by. Null: nobody knew, or no business had a sender of its own.';
create index if not exists inbound_texts_unseen on smsretry.inbound_texts (number_key) where said = 'unsure' and seen_at is null;

revoke all on smsretry.inbound_texts from public, anon, authenticated;
grant select, insert, update on smsretry.inbound_texts to service_role;
