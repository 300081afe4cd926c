"""STOP, START, refusals, telephone calls, forms and the application's own writes in any order: who may be texted then.

A model that shares nothing with the SQL follows what was said, and of whom; the customers' rows must say the same.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import count
from typing import Any, Final, Literal
from uuid import UUID, uuid4

import psycopg
import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from smsretry.adapters.supabase.queue import SupabaseQueue
from smsretry.adapters.twilio.provider import TwilioProvider
from smsretry.local.stack import Stack
from tests.conftest import EMPTY, Business
from tests.integration.hearing import refuse, sends_from
from tests.support.builders import NOON, SENDER, results_of, run_over

RUNS = int(os.environ.get("SMSRETRY_CONSENT_RUNS", "0"))
"""Histories to try; 0: a few, always the same."""
TOMORROW = timedelta(minutes=7, seconds=17)
"""How far ahead an opt-in is dated: it comes while a history goes on, and at no full minute, as others do."""
NOW, JUST_NOW = timedelta(0), timedelta(microseconds=-1)
When = timedelta | datetime | str | None
"""From now on, or a date."""
NUMBERS = ("+12125550123", "+12125550188")
Out = Literal["", "stop", "word"]
"""How somebody is opted out: not at all, by what a START takes back, or in another way."""


@dataclass
class Customer:
    """A customer's row as it should be."""

    business: Business
    number: str
    said: str
    """opted_in or unknown: what holds apart from opt-outs."""
    out: Out = ""
    stopped: str | None = None
    """The number by which a STOP ended it."""
    written: datetime | str | None = None
    """The date of the last opt-in that the application wrote. It writes it again."""

    @property
    def status(self) -> str:
        """Its sms_consent_status."""
        return "opted_out" if self.out else self.said

    def opt_out(self, out: Out) -> None:
        """The first one is the record, but for a word after a STOP."""
        if not self.out and out == "stop":
            self.stopped = self.number
        if self.out != "word":
            self.out = out

    def opt_in(self, said: str = "opted_in") -> None:
        """Whatever was before."""
        self.said, self.out = said, ""


@dataclass
class World:
    """Two businesses, and what has been said to them."""

    connection: psycopg.Connection[dict[str, Any]]
    stack: Stack
    businesses: list[Business]
    customers: dict[UUID, Customer] = field(default_factory=dict)
    own_senders: bool = False
    """Whether each business has a sender of its own, and hears only what is said to that one."""
    standing: dict[tuple[UUID, str], set[Out]] = field(default_factory=dict)
    """The opt-outs of each number at each business that nothing has lifted."""
    _sids: Iterator[int] = field(default_factory=lambda: count(1))

    def ones_with(self, business: Business, number: str) -> list[Customer]:
        """The customers of a business who have this number."""
        return [
            person
            for person in self.customers.values()
            if person.business is business and person.number == number
        ]

    def opt_outs(self, business: Business, number: str) -> set[Out]:
        """Those that stand."""
        return self.standing.setdefault((business.id, number), set())

    # What somebody says, by which words

    def stop(self, to: Business, number: str) -> None:
        for business in self._hear("STOP", to, number):
            self._opted_out(business, number, "stop")

    def in_words(self, to: Business, number: str) -> None:
        """It does what a STOP does, and a START takes it back."""
        for business in self._hear("please stop texting me", to, number):
            self._opted_out(business, number, "stop")

    def start(self, to: Business, number: str) -> None:
        for business in self._hear("START", to, number):
            them = self.ones_with(business, number)
            standing = self.opt_outs(business, number)
            if (
                not them
                or "word" in standing
                or any(each.out == "word" for each in them)
            ):
                continue
            standing.clear()
            for each in them:
                if each.out:
                    each.opt_in(each.said if each.stopped == number else "unknown")

    def refusal(self, business: Business, number: str) -> None:
        refuse(business, number)
        self._opted_out(business, number, "stop")
        self.opt_outs(business, number).add("stop")

    def telephone(self, business: Business, number: str) -> None:
        if self.ones_with(business, number):
            self._run(
                "select record_sms_consent(%s, 'opted_out', 'telephone', %s)",
                number,
                business.id,
            )
            self._opted_out(business, number, "word")

    def letter_to_all(self, _: Business, number: str) -> None:
        if any(self.ones_with(business, number) for business in self.businesses):
            self._run("select record_sms_consent(%s, 'opted_out', 'letter')", number)
            for business in self.businesses:
                self._opted_out(business, number, "word")

    def form(self, business: Business, number: str) -> None:
        if them := self.ones_with(business, number):
            self._run(
                "select record_sms_consent(%s, 'opted_in', 'form', %s)",
                number,
                business.id,
            )
            self.opt_outs(business, number).clear()
            for each in them:
                each.opt_in()

    def _opted_out(self, business: Business, number: str, out: Out) -> None:
        for each in self.ones_with(business, number):
            each.opt_out(out)
            self.opt_outs(business, number).add(out)

    def _hear(self, body: str, to: Business, number: str) -> list[Business]:
        """Returns the businesses that share the sender which hears it."""
        service = sender_of(to) if self.own_senders else SENDER
        self._run(
            "select record_inbound_sms(%s, %s, body => %s, messaging_service_sid => %s)",
            number, f"SM{next(self._sids):032x}", body, service,
        )  # fmt: skip
        return [to] if self.own_senders else self.businesses

    # What the application writes

    def imports(
        self,
        business: Business,
        number: str,
        status: str = "opted_in",
        at: When = None,
        *,
        lifts: bool = False,
    ) -> None:
        """A stopped one is of its own old list."""
        id_, out = uuid4(), status == "opted_out"
        self._run(
            """insert into customers (id, business_id, phone, timezone, sms_consent_status, sms_consent_at,
                                      sms_consent_source)
               values (%s, %s, %s, 'America/New_York', %s, %s, %s)""",
            id_, business.id, number, status, self._moment(at), "inbound_stop" if out else None,
        )  # fmt: skip
        self.customers[id_] = Customer(
            business, number, "unknown" if out else status, "stop" if out else ""
        )
        if lifts:
            self.opt_outs(business, number).clear()
        if out:
            self.opt_outs(business, number).add("stop")

    def writes(
        self,
        id_: UUID,
        status: str,
        source: str | None,
        at: When,
        out: Out,
        *,
        lifts: bool,
    ) -> None:
        customer = self.customers[id_]
        if out and customer.out and at != NOW:
            return
        moment = self._moment(at)
        self._run(
            """update customers set sms_consent_status = %s, sms_consent_source = %s, sms_consent_at = %s
               where id = %s""",
            status, source, moment, id_,
        )  # fmt: skip
        standing = self.opt_outs(customer.business, customer.number)
        if out:
            customer.opt_out(out)
            customer.out = out
            standing.add(out)
        else:
            customer.opt_in(status)
            customer.written = moment if status == "opted_in" else customer.written
        if lifts:
            standing.clear()

    def writes_it_again(self, id_: UUID, other: str) -> None:
        if written := self.customers[id_].written:
            self.writes(id_, "opted_in", "web", written, "", lifts=False)

    def writes_it_again_in_whole_seconds(self, id_: UUID, other: str) -> None:
        if isinstance(written := self.customers[id_].written, datetime):
            rounded = written.replace(microsecond=0) + timedelta(seconds=1)
            self.writes(id_, "opted_in", "web", rounded, "", lifts=False)

    def gives_another_source(self, id_: UUID, other: str) -> None:
        """Of an opt-out that stands: somebody said it again, and not by text."""
        self._run(
            "update customers set sms_consent_source = 'telephone' where id = %s", id_
        )
        self.customers[id_].out = "word"
        self.opt_outs(self.customers[id_].business, self.customers[id_].number).add(
            "word"
        )

    def imports_it_again(self, id_: UUID, other: str) -> None:
        customer = self.customers[id_]
        if customer.written:
            self._run("delete from customers where id = %s", id_)
            self._run(
                """insert into customers (id, business_id, phone, timezone, sms_consent_status, sms_consent_at)
                   values (%s, %s, %s, 'America/New_York', 'opted_in', %s)""",
                id_, customer.business.id, customer.number, customer.written,
            )  # fmt: skip
            customer.opt_in()

    def changes_the_number(self, id_: UUID, other: str) -> None:
        self._run("update customers set phone = %s where id = %s", other, id_)
        customer = self.customers[id_]
        if customer.out and customer.number != other:
            self.opt_outs(customer.business, other).add(customer.out)
        customer.number = other

    def moves_to_the_other_business(self, id_: UUID, other: str) -> None:
        customer = self.customers[id_]
        customer.business = next(
            other_business
            for other_business in self.businesses
            if other_business is not customer.business
        )
        self._run(
            "update customers set business_id = %s where id = %s",
            customer.business.id,
            id_,
        )
        if customer.out:
            self.opt_outs(customer.business, customer.number).add(customer.out)

    def saves_all_columns(self, id_: UUID, other: str) -> None:
        self._run(
            """update customers
               set business_id = business_id, phone = phone, sms_consent_status = sms_consent_status,
                   sms_consent_source = sms_consent_source,
                   sms_consent_at = date_trunc('milliseconds', sms_consent_at)
               where id = %s""",
            id_,
        )

    def opts_out_and_loses_the_number(self, id_: UUID, other: str) -> None:
        """An application that forgets people when they say stop, and gets them back from a list."""
        self._run(
            "update customers set phone = null, sms_consent_status = 'opted_out', sms_consent_at = %s where id = %s",
            self.stack.now(), id_,
        )  # fmt: skip
        customer = self.customers[id_]
        if not customer.out:
            self.opt_outs(customer.business, customer.number).add("word")
        self.deletes(id_, other)

    def deletes(self, id_: UUID, other: str) -> None:
        self._run("delete from customers where id = %s", id_)
        del self.customers[id_]

    def _moment(self, at: When) -> datetime | str | None:
        return self.stack.now() + at if isinstance(at, timedelta) else at

    def _run(self, statement: str, *values: object) -> None:
        self.connection.execute(statement.encode(), values)

    # What came of it

    def step(self, what: str, number: int) -> None:
        """Something is said or written; `number` says by whom, and of whom."""
        self.stack.move_clock(timedelta(minutes=1))
        phone = NUMBERS[number % 2]
        if what in OF_A_ROW:
            if self.customers:
                row, other = (
                    number % len(self.customers),
                    NUMBERS[number // len(self.customers) % 2],
                )
                OF_A_ROW[what](self, list(self.customers)[row], other)
        elif what == "clock set back":
            self.stack.move_clock(-timedelta(minutes=20))
        else:
            OF_A_NUMBER[what](self, self.businesses[number // 2 % 2], phone)
        self.each_row_says_what_it_should(what)

    def each_row_says_what_it_should(self, what: str) -> None:
        """Consent that was never given, or was taken back otherwise, is not there; and what was given is."""
        rows = self.connection.execute(
            "select id, sms_consent_status as status from customers"
        ).fetchall()
        assert {row["id"]: row["status"] for row in rows} == {
            id_: customer.status for id_, customer in self.customers.items()
        }, what

    def may_be_texted(self, customer: Customer) -> bool:
        """With consent on the row, and no opt-out of the number."""
        return customer.status == "opted_in" and not self.opt_outs(
            customer.business, customer.number
        )


OfANumber = Callable[[World, Business, str], None]
OfARow = Callable[[World, UUID, str], None]


def imports(status: str, at: When, *, lifts: bool = False) -> OfANumber:
    """The application inserts somebody."""
    return lambda world, business, number: world.imports(
        business, number, status, at, lifts=lifts
    )


def writes(
    status: str, source: str | None, at: When, out: Out = "", *, lifts: bool = False
) -> OfARow:
    """It changes what a row says; out, lifts: what that means."""
    return lambda world, id_, _: world.writes(id_, status, source, at, out, lifts=lifts)


OF_A_NUMBER: Final[dict[str, OfANumber]] = {
    "stop": World.stop,
    "start": World.start,
    "in words": World.in_words,
    "refusal": World.refusal,
    "telephone": World.telephone,
    "letter to all": World.letter_to_all,
    "form": World.form,
    "imports": imports("opted_in", None),
    "imports an unknown one": imports("unknown", NOW),
    "imports an old consent": imports("opted_in", timedelta(days=-30)),
    "imports a new consent": imports("opted_in", NOW, lifts=True),
    "imports a stopped one": imports("opted_out", None),
}
OF_A_ROW: Final[dict[str, OfARow]] = {
    "writes an opt-out": writes("opted_out", "web", NOW, "word"),
    "writes an opt-out of long ago": writes(
        "opted_out", "web", timedelta(days=-900), "word"
    ),
    "writes a stop": writes("opted_out", "inbound_stop", JUST_NOW, "stop"),
    "writes an opt-in": writes("opted_in", "web", NOW, lifts=True),
    "writes an opt-in by a fast clock": writes(
        "opted_in", "web", timedelta(minutes=4), lifts=True
    ),
    "writes an opt-in of tomorrow": writes("opted_in", "web", TOMORROW),
    "writes an opt-in of no calendar": writes("opted_in", "web", "infinity"),
    "writes an older opt-in": writes("opted_in", "web", timedelta(hours=-2)),
    "writes an opt-in of a minute ago": writes(
        "opted_in", "web", timedelta(seconds=-90)
    ),
    "writes an opt-in of no date": writes("opted_in", "web", None),
    "writes it again": World.writes_it_again,
    "writes it in whole seconds": World.writes_it_again_in_whole_seconds,
    "gives another source": World.gives_another_source,
    "imports it again": World.imports_it_again,
    "forgets": writes("unknown", None, NOW),
    "changes the number": World.changes_the_number,
    "moves": World.moves_to_the_other_business,
    "saves all columns": World.saves_all_columns,
    "loses the number": World.opts_out_and_loses_the_number,
    "deletes": World.deletes,
}
OF_ITS_MOMENT = {
    "writes it in whole seconds",
    "writes an opt-in of a minute ago",
    "gives another source",
}
"""What these mean depends on what was said just before, so the histories alone have them."""
STEPS = st.lists(
    st.tuples(
        st.sampled_from(
            [
                *["stop", "start"] * 5,
                *["telephone", "form", "refusal", "in words"] * 2,
                *OF_A_NUMBER,
                *sorted(OF_A_ROW.keys() - OF_ITS_MOMENT),
                *["writes an opt-in of tomorrow", "writes it again", "imports it again"]
                * 2,
            ]
        ),
        st.integers(0, 59),
    ),
    min_size=4,
    max_size=25,
)


def sender_of(business: Business) -> str:
    """Its own."""
    return f"MG{business.id.hex}"


@contextmanager
def world(stack: Stack, *, own_senders: bool = False) -> Iterator[World]:
    """Empty tables, noon in New York, two businesses, and at each somebody with consent and somebody without."""
    with ExitStack() as opened:
        connection = opened.enter_context(stack.connect())
        connection.execute(EMPTY)
        stack.twilio.heal()
        stack.twilio.ledger.clear()
        stack.set_clock(NOON)
        made = World(
            connection,
            stack,
            [Business(connection, stack.now).open() for _ in range(2)],
            own_senders=own_senders,
        )
        for business in made.businesses if own_senders else ():
            sends_from(business, f"AC{business.id.hex}", sender_of(business))
        for business in made.businesses:
            made.imports(business, NUMBERS[0])
            made.imports(business, NUMBERS[0], "unknown")
            made.imports(business, NUMBERS[1])
        yield made


@settings(
    max_examples=RUNS or 30,
    derandomize=not RUNS,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(steps=STEPS)
def test_in_any_order_only_those_are_texted_who_consent(
    stack: Stack, steps: list[tuple[str, int]]
) -> None:
    """After each step each row says what was said last by whoever may say it; at the end each gets a text, or none."""
    event(live(stack, steps))


@pytest.mark.long
@settings(
    max_examples=RUNS or 30,
    derandomize=not RUNS,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(steps=STEPS)
def test_with_senders_of_their_own_each_business_hears_what_is_said_to_its_own(
    stack: Stack, steps: list[tuple[str, int]]
) -> None:
    """The same histories: a STOP or a START is of one business."""
    event(live(stack, steps, own_senders=True))


MEANS = {
    "WAIT": ", ".join(
        ["saves all columns 5"] * 9
    ),  # until the date of tomorrow has come
    "AGAIN": "writes it again 0, imports it again 0",
}
HISTORIES = {
    "a second row with the number": "writes an opt-out 0",
    "deleted and imported anew": "writes an opt-out 0, deletes 0, imports an old consent 0",
    "a later opt-in": "writes an opt-out 0, form 0, stop 0, writes an opt-in 1",
    "an older one, and one of no date": "writes an opt-out 0, writes an older opt-in 0, writes an opt-in of no date 1",
    "saved as it was": "writes an opt-out 0, writes an opt-in 1, saves all columns 0",
    "a number that comes to who consents": "telephone 0, form 1, changes the number 2, WAIT",
    "likewise, after a stop to all": "letter to all 0, form 0, changes the number 2",
    "a number that changes there and back": (
        "writes an opt-in of tomorrow 2, stop 0, changes the number 2, changes the number 8, "
        "changes the number 2, writes it again 2, WAIT, writes it again 2, imports it again 2"
    ),
    "an opt-in that came along": "stop 0, writes an opt-in 2, changes the number 2, imports it again 2",
    "two branches made one": "telephone 2, form 0, telephone 1, moves 0, moves 1, moves 2",
    "who opts out loses the number": "loses the number 0, imports an old consent 0",
    "a row that still says stop goes": "writes an opt-out 0, writes an opt-in 1, deletes 0",
    "it gets another number": "writes an opt-out 0, writes an opt-in 1, changes the number 6",
    "it keeps its word through a stop": "writes an opt-out 0, writes an opt-in 1, stop 0, start 0",
    "it says stop again": "writes an opt-out 0, writes an opt-in 1, writes an opt-out 0",
    "an opt-out with an old date": "writes an opt-in 0, writes an opt-out of long ago 0, AGAIN",
    "of tomorrow, corrected": "stop 0, writes an opt-in of tomorrow 0, writes an opt-in 0",
    "of tomorrow, without a stop": "writes an opt-in of tomorrow 0",
    "of tomorrow, and a stop": "writes an opt-in of tomorrow 0, stop 0, AGAIN, WAIT, AGAIN",
    "of tomorrow, and a in words": "writes an opt-in of tomorrow 0, in words 0, AGAIN, WAIT, AGAIN",
    "of tomorrow, and a telephone": "writes an opt-in of tomorrow 0, telephone 0, AGAIN, WAIT, AGAIN",
    "of tomorrow, and a letter to all": "writes an opt-in of tomorrow 0, letter to all 0, AGAIN, WAIT, AGAIN",
    "of tomorrow, and a refusal": "writes an opt-in of tomorrow 0, refusal 0, AGAIN, WAIT, AGAIN",
    "of no calendar": "writes an opt-in of no calendar 0, stop 0, AGAIN, WAIT, AGAIN",
    "of tomorrow, then a real one": "writes an opt-in of tomorrow 0, stop 0, writes an opt-in 0, stop 0, AGAIN, form 0",
    "rounded by the application": "writes an opt-in of tomorrow 0, stop 0, WAIT, writes it in whole seconds 0",
    "a fast clock": "stop 0, writes an opt-in by a fast clock 0",
    "a fast clock, once": "stop 0, writes an opt-in by a fast clock 0, stop 0, AGAIN, WAIT, AGAIN",
    "a clock set back": "writes an opt-in 0, clock set back 0, stop 0, AGAIN, WAIT, WAIT, WAIT, AGAIN",
    "a clock set back before a person's word": "stop 0, clock set back 0, form 0, WAIT, WAIT, WAIT",
    "a start makes up no consent, and gives back what the application's own webhook ended": (
        "writes a stop 0, writes a stop 1, imports a stopped one 0, start 0"
    ),
    "a start reaches who was imported again, and not who has another number since": (
        "stop 0, changes the number 6, imports an unknown one 0, imports 0, start 1, start 0"
    ),
    "a start lifts no other opt-out that came after a stop": (
        "stop 0, gives another source 0, start 0, deletes 0, imports 0, start 0"
    ),
    "a stop takes nothing away from a telephone call": "telephone 0, imports 0, stop 0, deletes 0, start 0",
    "a refusal takes nothing away from a telephone call": "telephone 0, imports 0, refusal 0, deletes 0, start 0",
    "an opt-in from between two stops": "stop 0, stop 0, writes an opt-in of a minute ago 0",
    "stop after stop": "refusal 0, stop 0, start 0, telephone 0, stop 0, start 0",
}  # fmt: skip
"""What is said or written, each with the number that says by whom and of whom."""


def steps_of(history: str) -> list[tuple[str, int]]:
    """Its steps, in order."""
    for word, meaning in MEANS.items():
        history = history.replace(word, meaning)
    steps = [step.rpartition(" ") for step in history.split(", ")]
    return [(what, int(number)) for what, _, number in steps]


@pytest.mark.parametrize("history", HISTORIES)
def test_what_went_wrong_once_does_not_again(stack: Stack, history: str) -> None:
    """Of the first business the rows 0 and 1 share a number, and 0 and 2 consent."""
    live(stack, steps_of(HISTORIES[history]))


def live(
    stack: Stack, steps: list[tuple[str, int]], *, own_senders: bool = False
) -> str:
    """Take the steps, and look at the rows after each, and at last at the texts."""
    with world(stack, own_senders=own_senders) as seen:
        for what, number in steps:
            seen.step(what, number)
        texts = {
            customer.business.queue_row(customer.business.send_log(id_), id_): customer
            for id_, customer in seen.customers.items()
        }
        seen.connection.execute(
            "delete from smsretry.business_senders"
        )  # so that the stack can send them
        with (
            SupabaseQueue(stack.settings()) as queue,
            TwilioProvider(stack.settings()) as sender,
        ):
            fates = {
                result.retry_id: result.fate
                for result in results_of(run_over(queue, sender))
            }
        expected = {
            row: "Sent" if seen.may_be_texted(customer) else "Cancelled"
            for row, customer in texts.items()
        }
        assert fates == expected
        return f"{sum(fate == 'Sent' for fate in expected.values())} of {len(expected)} may be texted"
