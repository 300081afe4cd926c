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
