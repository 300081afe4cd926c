-- What a customer's consent was before a STOP, or Twilio's refusal, ended it: what a START gives back. Kept by the trigger on
-- customers while that opt-out stands, whoever wrote it. Without a row it is not known that there ever was consent.
create table if not exists smsretry.stopped_consents (
    customer_id uuid primary key,
    number_key bytea not null,
    consent text
);
comment on column smsretry.stopped_consents.number_key is 'The number that was stopped, at the customer''s business: smsretry.number_key. Another number''s START gives nothing back.';

revoke all on smsretry.stopped_consents from public, anon, authenticated;
grant select, insert, update, delete on smsretry.stopped_consents to service_role;
