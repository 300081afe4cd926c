-- When a customer's consent or number changed, for the stories of their texts. Of a number only the last digits are kept.
-- No foreign key: a deleted customer's texts keep their story, and prune_sms_history deletes what no text needs.
create table if not exists smsretry.customer_changes (
    id bigint generated always as identity primary key,
    customer_id uuid not null,
    at timestamptz not null,
    what text not null,
    was text,
    became text,
    source text,
    constraint customer_changes_what check (what in ('consent', 'number'))
);
create index if not exists customer_changes_customer on smsretry.customer_changes (customer_id, at);

-- Default privileges may be wide.
revoke all on smsretry.customer_changes from public, anon, authenticated;
grant select on smsretry.customer_changes to service_role;
