-- Texts by which somebody said STOP or START, by Twilio's name of each. One is recorded once: whoever sends an old webhook
-- again, which is still signed rightly, changes nobody's consent. prune_sms_history deletes STOPs after 90 days at least.
create table if not exists smsretry.inbound_texts (
    twilio_sid text primary key,
    heard_at timestamptz not null,
    said text not null,
    constraint inbound_texts_said check (said in ('STOP', 'START'))
);

-- Default privileges may be wide.
revoke all on smsretry.inbound_texts from public, anon, authenticated;
grant select, insert on smsretry.inbound_texts to service_role;
