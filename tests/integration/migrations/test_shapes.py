"""Databases that do not fit: each misfit is named, with what to do, before anything is changed."""

import re

import psycopg
import pytest

from smsretry.adapters.migrations.migrate import migrate, migrations
from smsretry.adapters.migrations.wanted_shapes import COLUMNS, LABEL, READ, VALUES
from smsretry.data import table
from smsretry.errors import MigrationError
from tests.integration.catalog import Database
from tests.integration.migrations.test_migrating_beside_readers import everything
from tests.support.some_daily import some_daily

NO_FOREIGN_KEYS = """
do $$ declare k record; begin
    for k in select conrelid::regclass as t, conname from pg_constraint where contype = 'f' loop
        execute format('alter table %s drop constraint %I', k.t, k.conname);
    end loop;
    for k in select tablename as t, policyname as conname from pg_policies loop
        execute format('drop policy %I on %I', k.conname, k.t);
    end loop;
end $$;
"""
_SWALLOW = """
create function public.swallow() returns trigger language plpgsql as $$ begin return null; end $$;
create trigger busy before insert on public.sms_retry_queue for each row execute function public.swallow();
"""

MISFITS = [
    pytest.param(
        """create type consent as enum ('opted_in', 'opted_out', 'unknown');
           alter table customers drop constraint customers_consent_known, alter sms_consent_status drop default;
           alter table customers alter sms_consent_status type consent using sms_consent_status::consent""",
        ["customers.sms_consent_status is an enum, and must be text: alter table public.customers alter column "],
        id="consent as an enum",
    ),
    pytest.param(
        """create type state as enum ('pending', 'processing', 'completed', 'failed', 'cancelled');
           drop index retry_queue_by_due_time;
           alter table sms_retry_queue drop constraint retry_status_known, alter status drop default;
           alter table sms_retry_queue alter status type state using status::state""",
        ["sms_retry_queue.status is an enum, and must be text: "],
        id="status as an enum",
    ),
    pytest.param(
        NO_FOREIGN_KEYS
        + """alter table businesses alter id drop default; alter table businesses alter id type text;
           alter table customers alter business_id type text""",
        [
            "businesses.id is text, and must be uuid: ",
            "customers.business_id is text, and must be uuid: ",
        ],
        id="ids that are texts",
    ),
    pytest.param(
        "alter table send_logs alter provider_message_id type json",
        ["send_logs.provider_message_id is json, and must be jsonb: "],
        id="json",
    ),
    pytest.param(
        """alter table sms_retry_queue drop constraint retry_status_known, add constraint retry_status_known
           check (status in ('pending', 'processing', 'completed', 'failed'))""",
        ["sms_retry_queue.status may not be cancelled, because of the constraint retry_status_known: "],
        id="an older check of the queue",
    ),
    pytest.param(
        "alter table send_logs add constraint known check (status in ('pending', 'delivered', 'failed'))",
        ["send_logs.status may not be sent, because of the constraint known: "],
        id="an older check of the send log",
    ),
    pytest.param(
        """alter table customers drop constraint customers_consent_known, add constraint consent
           check (sms_consent_status = 'opted_in' or sms_consent_status = 'unknown')""",
        ["customers.sms_consent_status may not be opted_out, because of the constraint consent: "],
        id="a check by or",
    ),
    pytest.param(
        """alter table customers alter phone_status type varchar, add constraint phone_known
           check (phone_status is null or phone_status in ('valid', 'invalid', 'unknown'))""",
        ["customers.phone_status may not be not_mobile, because of the constraint phone_known: "],
        id="a check of what may be said of a number",
    ),
    pytest.param(
        "alter table sms_retry_queue add column tenant text not null",
        ["sms_retry_queue.tenant must have a value, and queue_sms_retry gives it none: "],
        id="a column that must have a value",
    ),
    pytest.param(
        "alter table sms_retry_queue alter id drop default",
        ["sms_retry_queue.id must have a value, and queue_sms_retry gives it none: "],
        id="ids that the application makes",
    ),
    pytest.param(
        "alter table sms_retry_queue alter reason set not null",
        ["sms_retry_queue.reason must allow null: "],
        id="a reason that must be given",
    ),
    pytest.param(
        """alter table customers drop column sms_consent_at, drop column phone_status;
           alter table send_logs drop column error_message""",
        [
            "customers.phone_status is missing: alter table public.customers add column phone_status text",
            "customers.sms_consent_at is missing: ",
            "send_logs.error_message is missing: ",
        ],
        id="columns that are missing",
    ),
    pytest.param(
        "create view waiting as select * from claim_due_sms_retries(0)",
        ["public.claim_due_sms_retries(integer) is replaced, and view public.waiting depends on it: "],
        id="a view on a function that is replaced",
    ),
    pytest.param(
        _SWALLOW, ["sms_retry_queue, trigger busy swallows every row that is written: "], id="a trigger that swallows"
    ),
    pytest.param(
        "create rule nothing as on update to send_logs do instead nothing",
        ["send_logs, rule nothing replaces what is written: "],
        id="a rule",
    ),
    pytest.param(
        """alter table send_logs alter error_message type varchar(40);
           alter table sms_retry_queue alter scheduled_for type timestamp""",
        [
            "send_logs.error_message is character varying(40), and must be text: ",
            "sms_retry_queue.scheduled_for is timestamp without time zone, and must be timestamp with time zone: ",
        ],
        id="short texts and times without a zone",
    ),
    pytest.param(
        "alter table customers rename to people; create view customers as select * from people",
        ["customers is not an ordinary table: "],
        id="a view instead of a table",
    ),
    pytest.param(
        "alter table sms_retry_queue add column claim_no text, add column why jsonb, add column recover_count text",
        [
            "sms_retry_queue.claim_no is text, and must be bigint: ",
            "sms_retry_queue.recover_count is text, and must be integer: ",
            "sms_retry_queue.why is jsonb, and must be text: ",
        ],
        id="our names for something else",
    ),
    pytest.param(
        "alter table send_logs alter status drop default",
        [
            "send_logs.status must have a default, for a text that waits is given it: "
            "alter table public.send_logs alter column status set default 'pending' (or another that says so)"
        ],
        id="a send log whose status must be given",
    ),
    pytest.param(
        "alter table send_logs alter status set default 'sent'",
        ["send_logs.status is sent by default, and a text that waits was not sent: alter table public.send_logs "],
        id="a send log that is sent from the start",
    ),
    pytest.param(
        "alter table send_logs alter provider_message_id set not null",
        ["send_logs.provider_message_id must have a default, for a text that waits is given it: "],
        id="a send log that must have a message",
    ),
    pytest.param(
        """alter table send_logs drop constraint send_logs_channel_known,
           add constraint channels check (channel in ('email', 'text'))""",
        ["send_logs.channel may not be sms, because of the constraint channels: "],
        id="a channel of another name",
    ),
    pytest.param(
        """create table scheduled_sends (
               id uuid primary key, business_id uuid not null, scheduled_for timestamptz not null,
               status text not null, message_class text not null default 'promo',
               constraint classes check (message_class in ('promo', 'info')))""",
        ["scheduled_sends.message_class may not be marketing or transactional, because of the constraint classes: "],
        id="classes of the application's own",
    ),
]


@pytest.mark.parametrize(("change", "said"), MISFITS)
def test_what_does_not_fit_is_named_before_anything_is_changed(
    original: Database, change: str, said: list[str]
) -> None:
    """All of it at once, and nothing else."""
    original.run(change)
    before = everything(original)
    with pytest.raises(MigrationError) as raised:
        migrate(original.url)
    assert everything(original) == before
    first, *lines, last = str(raised.value).splitlines()
    assert first == "Some of what is in this database does not fit:"
    assert last.endswith("run `smsretry migrate` again. Nothing was changed.")
    assert len(lines) == len(said)
    for line, beginning in zip(lines, said, strict=True):
        assert line.strip().startswith(beginning)


def test_whatever_a_refusal_says_of_a_number_is_looked_for_in_the_checks() -> None:
    """A word that a new code brings must be allowed, too."""
    said = {row["phone_status"] for row in table("twilio_errors")} - {""}
    assert said == set(VALUES["customers", "phone_status"])


def test_what_the_message_says_to_do_makes_the_migration_go_through(original: Database) -> None:
    """Each statement is one that can be run as it stands."""
    original.run("alter table send_logs alter provider_message_id type json, drop column error_message")
    original.run("alter table sms_retry_queue alter reason set not null, alter id drop default")
    original.run("alter table send_logs alter status drop default, alter provider_message_id set not null")
    with pytest.raises(MigrationError) as raised:
        migrate(original.url)
    for line in str(raised.value).splitlines()[1:-1]:
        original.run(line.partition(": ")[2].partition(" (or")[0])
    assert len(migrate(original.url)) == len(migrations())


def test_other_types_of_text_fit_where_they_are_only_read(original: Database) -> None:
    """And an enum for the channel."""
    original.run(
        """create type channel as enum ('email', 'sms');
           alter table send_logs drop constraint send_logs_channel_known;
           alter table send_logs alter channel type channel using channel::channel, alter subject type varchar(1600);
           alter table customers alter phone type varchar(20), alter sms_consent_status type varchar;
           alter table send_logs add constraint not_sending check (status <> 'sending')"""
    )
    assert len(migrate(original.url)) == len(migrations())


@pytest.mark.parametrize(("change", "said"), some_daily(MISFITS, each=3))
def test_what_stops_half_way_has_changed_nothing_of_the_application_s(
    original: Database, change: str, said: list[str]
) -> None:
    """File by file, as `supabase db push` applies them: only the first one's schema and clock may be left."""
    original.run(change)
    first, *others = migrations()
    original.run(first.text)
    before = everything(original)
    try:
        for migration in others:
            with original.connection.transaction():
                original.run(migration.text)
    except psycopg.Error:
        assert everything(original) == before


def test_the_migration_asks_for_the_columns_that_smsretry_needs() -> None:
    """The same ones as `smsretry migrate` and `smsretry doctor`."""
    guard = migrations()[1].text.partition("from (values")[2].partition(") as w (")[0]
    found = re.findall(r"\('(\w+)', '(\w+)', (?:null|'([\w ]+)')\)", guard)
    needed = {
        (relation, name, "" if wanted in (READ, LABEL) else wanted)
        for relation, columns in COLUMNS.items()
        for name, wanted in columns.items()
    }
    assert set(found) == needed
