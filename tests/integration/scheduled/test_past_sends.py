"""An installation is adopted whose scheduled sends are past: none becomes a text unasked."""

import pytest

from smsretry.adapters.migrations.migrate import migrate, migrations
from smsretry.errors import MigrationError
from smsretry.retry.before import LIFE
from tests.integration.catalog import Database
from tests.support.records import Record

PAST = ("200 days", "3 days", "47 hours", "1 minute")
"""By how much their time has passed. Two are of no more use."""


@pytest.fixture
def adopted(original: Database) -> Database:
    """Its own table, in which the word `scheduled` stays for ever."""
    original.run(
        """create table scheduled_sends (
               id uuid primary key default gen_random_uuid(), business_id uuid not null references businesses (id),
               customer_id uuid, body text, scheduled_for timestamptz not null, status text not null)"""
    )
    business = original.single_row(
        "insert into businesses (user_id, name) values (gen_random_uuid(), 'Maple Street') returning id"
    )
    customer = original.single_row(
        "insert into customers (business_id, phone, sms_consent_status) values (%s, '+12125550123', 'opted_in')"
        " returning id",
        business["id"],
    )
    for past in PAST:
        original.single_row(
            """insert into scheduled_sends (business_id, customer_id, body, scheduled_for, status)
               values (%s, %s, %s, now() - %s::interval, 'scheduled') returning id""",
            business["id"], customer["id"], f"See you tomorrow, {past}", past,
        )  # fmt: skip
    return original


def states(database: Database) -> dict[str, str]:
    """What became of each, by its time."""
    rows: list[Record] = database.rows("select body, status from scheduled_sends")
    return {
        row["body"].removeprefix("See you tomorrow, "): row["status"] for row in rows
    }


def first_run(database: Database) -> None:
    """The first run after the migration makes texts of what is due."""
    database.rows("select * from queue_scheduled_sms(life => %s)", LIFE)


def test_by_the_statement_that_the_refusal_prints_none_becomes_a_text(
    adopted: Database,
) -> None:
    """What is planned for later stays."""
    with pytest.raises(
        MigrationError, match=r"rows of scheduled_sends \(2\) are `scheduled` though"
    ) as raised:
        migrate(adopted.url)
    assert set(states(adopted).values()) == {"scheduled"}
    later = "update scheduled_sends set scheduled_for = now() + interval '1 day' where body like %s returning 1"
    adopted.single_row(later, "%3 days")
    [line] = str(raised.value).splitlines()[1:-1]
    adopted.run(line.partition("otherwise: ")[2])
    assert migrate(adopted.url) == migrations()
    first_run(adopted)
    assert states(adopted) == dict.fromkeys(PAST, "cancelled") | {"3 days": "scheduled"}


def test_what_is_past_its_life_becomes_no_text_in_any_case(adopted: Database) -> None:
    """`supabase db push` asks nobody. Of six months of rows six went out."""
    for migration in migrations():
        adopted.run(migration.text)
    first_run(adopted)
    assert states(adopted) == dict.fromkeys(PAST[:2], "cancelled") | dict.fromkeys(
        PAST[2:], "queued"
    )
    [row] = adopted.rows(
        "select why from scheduled_sends where body like %s", "%200 days"
    )
    assert row["why"].startswith("Expired before it could be sent: it was due on 20")
