"""What an application or a tenant may have written in any column hides nobody else's text from a person."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Final
from uuid import UUID

import pytest

from smsretry.desk.actions.requests import Cancel, Preview, WhichText
from smsretry.desk.desk import Desk
from tests.conftest import Business
from tests.support.builders import PHONE
from tests.support.desk import ordered

BROUGHT: Final = """
alter table scheduled_sends alter column scheduled_for drop not null, alter column business_id drop not null,
    alter column message_class drop not null, alter column created_at drop not null,
    alter column updated_at drop not null
"""
"""As a table of the application's own may be."""
AGAIN: Final = """
delete from scheduled_sends;
alter table scheduled_sends alter column scheduled_for set not null, alter column business_id set not null,
    alter column message_class set not null, alter column created_at set not null,
    alter column updated_at set not null
"""
HUGE: Final = "x" * 1_000_000


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


@contextmanager
def odd_send(business: Business, customer: UUID, odd: str) -> Iterator[UUID]:
    """A scheduled send of this customer's that nobody's rules have refused."""
    column, value = ODD_SENDS[odd]
    connection = business.connection
    rules = connection.execute(
        "select conname, pg_get_constraintdef(oid) as rule from pg_constraint"
        " where conrelid = 'scheduled_sends'::regclass and contype = 'c' and conname <> 'scheduled_sends_status_check'"
    ).fetchall()
    connection.execute(BROUGHT)
    for rule in rules:
        connection.execute(f"alter table scheduled_sends drop constraint {rule['conname']}")
    try:
        planned = business.scheduled(due=timedelta(hours=1))
        connection.execute("update scheduled_sends set customer_id = %s where id = %s", [customer, planned])
        connection.execute(f"update scheduled_sends set {column} = %s where id = %s", [value, planned])
        yield planned
    finally:
        connection.execute(AGAIN)
        for rule in rules:
            connection.execute(f"alter table scheduled_sends add constraint {rule['conname']} {rule['rule']}")


UNREAD: Final = {"no time": "scheduled_for", "no class": "message_class", "no business": "business_id"}
"""The columns of those of which nothing can be predicted."""


@pytest.mark.parametrize("odd", ODD_SENDS)
def test_an_odd_scheduled_send_hides_no_other_text(business: Business, desk: Desk, odd: str) -> None:
    """Explain tells the others whole, and of the odd one what can be read; status and preview go on."""
    fine = business.due_text()
    customer = business.row(fine)["customer_id"]
    with odd_send(business, customer, odd) as planned:
        _both_are_told(desk, customer, fine, planned)
        ahead = desk.preview(Preview(hours=2))
        assert ahead.go_out >= 1
        assert desk.status().queue == {"due": 1}
        assert ordered(desk, Cancel(retry_ids=[planned])).matched == 1
        if column := UNREAD.get(odd):
            [explanation] = desk.explain(WhichText(retry_id=planned))
            assert f"cannot be read: {column}. Fix what is there; the rest is shown" in list(explanation.lines())
            assert "goes out" not in explanation.next
            assert ahead.unreadable == (() if odd == "no time" else (planned,)), "which is within no hours"


def _both_are_told(desk: Desk, customer: UUID, fine: UUID, odd: UUID) -> None:
    explanations = {
        explanation.text.retry_id: explanation for explanation in desk.explain(WhichText(customer_id=customer))
    }
    assert "and then goes out" in explanations[fine].next
    [by_itself] = desk.explain(WhichText(retry_id=odd))
    assert [*by_itself.lines()]
    if odd in explanations:  # one without a customer is not the customer's
        (_, *together), (_, *alone) = explanations[odd].lines(), by_itself.lines()  # a headline says how long ago
        assert together == alone


@pytest.mark.parametrize("value", ["infinity", "-infinity", "0044-03-15 12:00:00+00 BC", "20000-01-01 00:00:00+00"])
def test_an_odd_time_of_consent_hides_no_story(business: Business, desk: Desk, value: str) -> None:
    """Of the customer's, or of whoever has the same number; nor do megabytes in a column."""
    status = "opted_out"
    row = business.due_text()
    business.connection.execute(
        "update customers set sms_consent_status = %s, sms_consent_at = %s, sms_consent_source = %s, phone_status = %s,"
        " timezone = %s where id = %s",
        [status, value, HUGE, HUGE, HUGE, business.row(row)["customer_id"]],
    )
    business.connection.execute("update businesses set name = %s where id = %s", [HUGE, business.id])
    other = business.due_text()
    explanations = desk.explain(WhichText.at_terminal(phone=PHONE))
    assert {explanation.text.retry_id for explanation in explanations} == {row, other}
    assert all(len("".join(explanation.lines())) < 5000 for explanation in explanations)
    assert desk.preview(Preview(hours=2)).businesses
    assert desk.status().depth == 2
