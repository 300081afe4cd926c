"""What an application or a tenant may have written in any column hides nobody else's text from a person."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Final

import pytest

from smsretry.adapters.desk import Desk
from smsretry.desk.actions.requests import Cancel, ExplainText, Preview
from tests.conftest import Business
from tests.support.builders import PHONE
from tests.support.orders import ordered

HUGE = "x" * 1_000_000


ODD_SENDS: Final[dict[str, tuple[str, object]]] = {
    "no time": ("scheduled_for", None),
    "no business": ("business_id", None),
    "no class": ("message_class", None),
    "never made": ("created_at", None),
    "never changed": ("updated_at", None),
    "for ever": ("scheduled_for", "infinity"),
    "before all time": ("scheduled_for", "-infinity"),
    "in the year 44 BC": ("scheduled_for", "0044-03-15 12:00:00+00 BC"),
    "made for ever": ("created_at", "infinity"),
    "made before all time": ("updated_at", "-infinity"),
    "of use for ever": ("not_after", "infinity"),
    "a class of its own": ("message_class", "news"),
    "megabytes": ("body", HUGE),
    "to nobody": ("customer_id", None),
    "without a body": ("body", None),
}
"""A column of the application's, and what is in it. Rules refuse some of it from now on; rows that were there stay."""


@pytest.fixture
def brought(business: Business) -> Iterator[None]:
    """Scheduled sends are a table of the application's own, in which nobody's rules have refused anything."""
    connection = business.connection
    rules = connection.execute(
        "select conname, pg_get_constraintdef(oid) as rule from pg_constraint"
        " where conrelid = 'scheduled_sends'::regclass and contype = 'c' and conname <> 'scheduled_sends_status_check'"
    ).fetchall()
    strict = (
        "scheduled_for",
        "business_id",
        "message_class",
        "created_at",
        "updated_at",
    )
    alter = "alter table scheduled_sends "
    loosen = [f"alter column {column} drop not null" for column in strict]
    tighten = [f"alter column {column} set not null" for column in strict]
    connection.execute(
        (
            alter
            + ", ".join(
                loosen + [f"drop constraint {record['conname']}" for record in rules]
            )
        ).encode()
    )
    yield
    tighten += [f"add constraint {one['conname']} {one['rule']}" for one in rules]
    connection.execute(
        (f"delete from scheduled_sends; {alter}" + ", ".join(tighten)).encode()
    )


@pytest.mark.usefixtures("brought")
def test_an_odd_scheduled_send_hides_no_other_text(
    business: Business, desk: Desk
) -> None:
    """Explain tells the others whole, and of the odd one what can be read; status and preview go on."""
    fine = business.due_text()
    customer = business.row(fine)["customer_id"]
    for odd, (column, value) in ODD_SENDS.items():
        planned = business.scheduled(due=timedelta(hours=1))
        for name, content in (("customer_id", customer), (column, value)):
            business.connection.execute(
                f"update scheduled_sends set {name} = %s where id = %s".encode(),
                [content, planned],
            )
        records = {
            explanation.text.retry_id: explanation
            for explanation in desk.explain(ExplainText(id=customer))
        }
        [by_itself] = desk.explain(ExplainText(id=planned))
        alone = [*by_itself.tell()]
        assert fine in records
        assert planned not in records or [*records[planned].tell()] == alone, (
            odd
        )  # one to nobody is not the customer's
        ahead = desk.preview(Preview(hours=2))
        assert ahead.counts["go out"] >= 1, odd
        assert desk.status().queue["due"] == 1, odd
        assert ordered(desk, Cancel(retry_ids=[planned])).matched == 1
        business.connection.execute("delete from scheduled_sends")


@pytest.mark.parametrize(
    "value",
    ["infinity", "-infinity", "0044-03-15 12:00:00+00 BC", "20000-01-01 00:00:00+00"],
)
def test_an_odd_time_of_consent_hides_no_story(
    business: Business, desk: Desk, value: str
) -> None:
    """Of the customer's, or of whoever has the same number; nor do megabytes in a column."""
    status = "opted_out"
    row = business.due_text()
    business.connection.execute(
        "update customers set sms_consent_status = %s, sms_consent_at = %s, sms_consent_source = %s, phone_status = %s,"
        " timezone = %s where id = %s",
        [status, value, HUGE, HUGE, HUGE, business.row(row)["customer_id"]],
    )
    business.connection.execute(
        "update businesses set name = %s where id = %s", [HUGE, business.id]
    )
    other = business.due_text()
    explanations = desk.explain(ExplainText.at_terminal(id=PHONE))
    assert {explanation.text.retry_id for explanation in explanations} == {row, other}
    assert all(len(str([*explanation.tell()])) < 7000 for explanation in explanations)
    assert desk.preview(Preview(hours=2)).counts
    assert sum(desk.status().queue.values()) == 2
