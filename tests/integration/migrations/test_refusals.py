"""Databases that do not fit: each thing is named with what to do, before anything is changed, and that works."""

import re

import pytest

from smsretry.adapters.migrations.migrate import migrate
from smsretry.errors import MigrationError
from tests.integration.catalog import Database, complaints
from tests.support.restoring import schema_of

_SCHEDULED = """
create table scheduled_sends (
    id uuid primary key default gen_random_uuid(), business_id uuid not null, scheduled_for timestamptz not null,
    status text not null, message_class text not null default 'marketing');
alter table scheduled_sends enable row level security;
"""
_ROWS = """
with b as (insert into businesses (user_id, name) values (gen_random_uuid(), 'M') returning id),
     c as (insert into customers (business_id) select id from b returning id, business_id),
     l as (insert into send_logs (business_id, customer_id, channel) select business_id, id, 'sms' from c
           returning id, business_id, customer_id)
insert into sms_retry_queue (business_id, send_log_id, customer_id, scheduled_for)
select business_id, id, customer_id, now() + n * interval '1 hour' from l, generate_series(1, 3) n;
"""

REFUSED = {
    "columns": (
        """create domain e164 as text;
           alter table customers alter phone type e164, drop column sms_consent_at, drop column phone_status;
           create type label as enum ('pending', 'sent');
           alter table send_logs alter error_message type varchar(40), alter status drop default,
               alter status type label using status::label, alter status set default 'pending',
               add constraint "Told" check (status <> 'sent' or error_message is null);
           alter table sms_retry_queue alter reason set not null, alter attempt_count drop not null,
               alter scheduled_for drop not null, alter max_attempts drop not null, alter business_id drop not null""",
        [
            "customers.phone is public.e164, and must be text: ",
            "customers.phone_status is missing: alter table public.customers add column phone_status text",
            "customers.sms_consent_at is missing: ",
            "send_logs.error_message is character varying(40), too short for some of what smsretry writes, and ",
            "send_logs.status is an enum, and must be text: alter table public.send_logs drop constraint ",
            "sms_retry_queue.reason must be allowed to be null: ",
            "sms_retry_queue.attempt_count must not be null: ",
            "sms_retry_queue.business_id must not be null: delete from ",
            "sms_retry_queue.scheduled_for must not be null: ",
            "sms_retry_queue.max_attempts must not be null: ",
        ],
    ),
    "checks that know fewer values": (
        _SCHEDULED
        + """alter table sms_retry_queue drop constraint retry_status_known, add constraint retry_status_known
                 check (status in ('pending', 'processing', 'completed', 'failed'));
             alter table customers drop constraint customers_consent_known, alter phone_status type varchar,
                 add constraint consent check (sms_consent_status = 'opted_in' or sms_consent_status = 'unknown'),
                 add constraint phone_known check (phone_status is null or phone_status in ('valid', 'invalid')),
                 add constraint spelled check (sms_consent_source ~ '^[a-z ]*$'),
                 add constraint never check (sms_consent_source <> 'inbound_stop'),
                 add constraint sources check (sms_consent_source in ('form', 'inbound_start', 'inbound_stop',
                     'inbound_words', 'provider_refusal', 'twilio_21610', 'twilio_30004', 'twilio_30630',
                     'twilio_63014', 'twilio_63033')) not valid;
             alter table send_logs drop constraint send_logs_channel_known,
                 add constraint known check (status in ('pending', 'delivered', 'failed')),
                 add constraint channels check (channel in ('email', 'text'));
             alter table scheduled_sends add constraint classes check (message_class in ('marketing', 'info'))""",
        [
            "customers.sms_consent_status may not be opted_out: alter table public.",
            "customers.phone_status may not be not_mobile: alter table public.",
            "customers.sms_consent_source may not be inbound_stop: alter table public.",
            "customers.sms_consent_source may not be inbound_start or inbound_stop or inbound_words or "
            "provider_refusal or twilio_21610 or twilio_30004 or twilio_30630 or twilio_63014 or twilio_63033: alter ",
            "customers.sms_consent_source may not be whatever people give as a source: alter table public.",
            "send_logs.channel may not be sms: alter table public.",
            "send_logs.status may not be sent: alter table public.",
            "scheduled_sends.message_class may not be transactional: alter table public.",
            "sms_retry_queue.status may not be cancelled: alter table public.",
        ],
    ),
    "names of ours, and policies by which tenants do more": (
        """create function queue_sms_retry(uuid) returns text language sql as $$ select 'mine' $$;
           create procedure change_sms_sender(text) language sql as $$ select 1 $$;
           alter table sms_retry_queue add column why jsonb, add column work text,
               add constraint sms_retry_queue_attempts check (attempt_count < 100);
           create index sms_retry_queue_customer on sms_retry_queue (customer_id, status);
           alter policy "see own retries" on sms_retry_queue rename to "Owners read their retries";
           create policy "add ""own"" retries" on sms_retry_queue for insert with check (true);
           create policy everything on sms_retry_queue to authenticated using (true);
           do $$ begin create role app_users; exception when duplicate_object then null; end $$;
           grant app_users to authenticated with inherit true;
           create policy members on sms_retry_queue for delete to app_users using (true);
           create policy backend on sms_retry_queue to service_role using (true);
           create policy narrow on sms_retry_queue as restrictive to authenticated using (true)""",
        [
            "column public.sms_retry_queue.why has a name of smsretry's, and is another: ",
            "column public.sms_retry_queue.work has a name of smsretry's, and is another: ",
            "constraint sms_retry_queue_attempts on public.sms_retry_queue has a name of smsretry's, and is another: ",
            "function public.change_sms_sender(text) has a name of smsretry's, and is another: ",
            "function public.queue_sms_retry(uuid) has a name of smsretry's, and is another: ",
            "index sms_retry_queue_customer on public.sms_retry_queue has a name of smsretry's, and is another: ",
            'policy "Owners read their retries" on public.sms_retry_queue has a name of smsretry\'s, and is another: ',
            'policy "add ""own"" retries" of sms_retry_queue lets tenants add rows of any kind: drop policy ',
            'policy "everything" of sms_retry_queue lets tenants add, change and delete rows (it lets them read, too: '
            "to keep that, make it again `for select`): ",
            'policy "members" of sms_retry_queue lets tenants delete rows',
        ],
    ),
    "roles without a policy": (
        """do $$ begin create role app_worker; exception when duplicate_object then null; end $$;
           alter table sms_retry_queue disable row level security; grant select on sms_retry_queue to app_worker""",
        [
            'role "app_worker" would be shut out from sms_retry_queue by row level security, which is switched on: ',
        ],
    ),
    "large tables without an index of ours": (
        """alter table customers set (fillfactor = 10);
           with b as (insert into businesses (user_id, name) values (gen_random_uuid(), 'M') returning id)
           insert into customers (business_id) select id from b, generate_series(1, 25000)""",
        [
            "table customers is large, and would be locked while an index is built: create index concurrently ",
        ],
    ),
    "rows that would be texts": (
        _ROWS
        + _SCHEDULED
        + """insert into scheduled_sends (business_id, scheduled_for, status)
             select id, now() - past, 'scheduled'
             from businesses, unnest(array['200 days', '47 hours', '1 minute', '-1 day']::interval[]) past""",
        [
            "rows of sms_retry_queue (2) are for a text that another row is to send as well: ",
            "rows of scheduled_sends (2) are `scheduled` though their time has passed, and would become texts now, ",
        ],
    ),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_does_not_fit_is_named_and_what_is_said_makes_it_fit(
    original: Database, what: str
) -> None:
    """All of it at once, and nothing else, before anything is changed. Each statement can be run as it stands."""
    change, said = REFUSED[what]
    original.run(change)
    before = schema_of(original.url)
    with pytest.raises(MigrationError) as raised:
        migrate(original.url)
    assert schema_of(original.url) == before
    first, *lines, last = str(raised.value).splitlines()
    assert first == "Some of what is in this database does not fit:"
    assert last.endswith("run `smsretry migrate` again. Nothing was changed.")
    assert len(lines) == len(said)
    for beginning in said:
        assert any(line.strip().startswith(beginning) for line in lines), beginning
    for line in lines:
        original.run(re.sub(r".*?: (?=(alter|update|drop|delete|create) )", "", line))
    migrate(original.url)
    assert complaints(original.connection) == {}


BY_POSTGRESQL = {
    "alter table customers rename to people; create view customers as select * from people": "customers is a view",
    "alter table sms_retry_queue add column tenant text not null": 'null value in column "tenant" of relation "sms_',
    """create function busy() returns trigger language plpgsql as 'begin return null; end';
       create trigger busy before insert on sms_retry_queue for each row execute function busy()""": "(SR409)",
    "drop schema auth cascade": "no database of a Supabase project: it has no auth.uid()",
}
"""What is named by it, by the rehearsal, or by what every Supabase project has; without a statement that mends it."""


@pytest.mark.parametrize("change", BY_POSTGRESQL)
def test_what_fits_nowhere_is_named_and_nothing_was_changed(
    original: Database, change: str
) -> None:
    """A view for a table, a value that is needed, a trigger that refuses, a PostgreSQL of the developer's own."""
    original.run(change)
    before = schema_of(original.url)
    with pytest.raises(MigrationError, match=r"Nothing was changed\.$") as raised:
        migrate(original.url)
    assert BY_POSTGRESQL[change] in str(raised.value)
    assert schema_of(original.url) == before


def test_a_database_that_is_not_reached_is_a_readable_error_without_the_password(
    original: Database,
) -> None:
    """A closed port, a wrong password, no such database, the web address, an unescaped sign."""
    secret, port = re.findall(r":([^:/]+)@.*?:(\d+)", original.url)[0]
    for url, said in (
        (f"postgresql://postgres:{secret}@127.0.0.1:1/nowhere", "refused"),
        (
            f"postgresql://postgres:wr0ng-secret@127.0.0.1:{port}/nowhere",
            "password authentication",
        ),
        (f"postgresql://postgres:{secret}@127.0.0.1:{port}/nowhere", '"nowhere"'),
        ("https://project.supabase.co", "--db-url"),
        (
            f"postgresql://postgres:{secret}@127.0.0.1:1/postgres?pgbouncer=true",
            "--db-url",
        ),
        ("postgresql://postgres:wr0ng@secret%@127.0.0.1:1/postgres", "write %40 for @"),
    ):
        with pytest.raises(MigrationError) as raised:
            migrate(url)
        message = str(raised.value)
        assert said in message
        assert "--db-url" in message
        assert not {
            word for word in (secret, "wr0ng", "secret@", "secret%") if word in message
        }
        assert raised.value.__cause__ is raised.value.__context__ is None
