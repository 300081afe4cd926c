"""Callbacks, looks and runs in any order, some of them lost: the last word is right, and no text comes twice."""

import os
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final
from uuid import UUID

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from smsretry import queue_sms_retry
from smsretry.adapters.supabase.deliveries import SupabaseDeliveries
from smsretry.adapters.supabase.queue import SupabaseQueue
from smsretry.adapters.twilio.errors import twilio_refusal
from smsretry.adapters.twilio.sender import TwilioSender
from smsretry.local.stack import Stack
from smsretry.local.twilio.faults import AcceptThenDrop, FetchError, JsonError, ListError
from smsretry.retry.profile import Profile
from smsretry.sending.delivering import sync_deliveries
from smsretry.sending.ports import DeliveryServices
from tests.conftest import EMPTY, Business
from tests.support.builders import NOON, PHONE, run

RUNS: Final = int(os.environ.get("SMSRETRY_DELIVERY_RUNS", "0"))
"""Histories to try; 0: a few, always the same."""
RETRIES: Final = 1
ANEW: Final = 2
"""How often the application queues the text anew at most, after it failed."""
HALF_AN_HOUR: Final = timedelta(minutes=31)
"""Longer than a lost message waits to be followed by the next."""
BLIND_DAYS: Final = timedelta(hours=49)
"""Longer than a text is of use."""
CODES: Final = [30003, 30005, 30006, 30007, 30008, 30034, 30410, 30630, None]
PASSING: Final = [30003, 30008]
FAILURES: Final = ("undelivered", "failed")
_WAY: Final = ["queued", "sending", "sent"]


@dataclass(frozen=True)
class Fate:
    """What becomes of one message, as Twilio learns it: some statuses, and at the end whether the phone got it."""

    statuses: tuple[tuple[str, int | None], ...]
    arrives: bool
    """Also if Twilio never says so."""
    answer_lost: bool = False


@st.composite
def fates(draw: st.DrawFn) -> Fate:
    """Delivered, called lost, called lost and delivered after all, or never told of."""
    way = tuple((status, None) for status in _WAY[: draw(st.integers(0, 3))])
    failure = (draw(st.sampled_from(FAILURES)), draw(st.sampled_from([*PASSING * 4, *CODES])))
    lost = draw(st.booleans())
    match draw(st.sampled_from(["lost", "lost", "lost", "late", "late", "delivered", "silent", "silent and lost"])):
        case "delivered":
            return Fate((*way, ("delivered", None)), arrives=True, answer_lost=lost)
        case "lost":
            return Fate((*way, failure), arrives=False, answer_lost=lost)
        case "late":
            return Fate((*way, failure, ("delivered", None)), arrives=True, answer_lost=lost)
        case "silent":
            return Fate(way, arrives=True, answer_lost=lost)
        case _:
            return Fate(way, arrives=False, answer_lost=lost)


WHAT: Final = [
    *["twilio"] * 4, *["callback"] * 4, *["look", "run"] * 2, "blind look", "refused", "blind days", *["anew"] * 3,
    "stop",
]  # fmt: skip
STEPS = st.lists(
    st.tuples(st.sampled_from(WHAT), st.integers(0, 40)),
    min_size=5,
    max_size=40,
)


@dataclass
class World:
    """One text, the messages of it that Twilio took, and what was reported of each."""

    stack: Stack
    business: Business
    queue: SupabaseQueue
    sender: TwilioSender
    services: DeliveryServices
    log: UUID
    fates: list[Fate]
    told: Counter[str] = field(default_factory=Counter)
    """How many statuses of each message Twilio knows by now."""
    anew: int = 0
    """How often the application has queued the text anew."""

    def rows(self) -> list[dict[str, Any]]:
        """The text's, in order."""
        return self.business.connection.execute("select * from sms_retry_queue order by created_at").fetchall()

    def attempts(self) -> list[dict[str, Any]]:
        """Of all of them."""
        return self.business.connection.execute("select * from sms_send_attempts order by begun_at").fetchall()

    def messages(self) -> list[tuple[str, Fate]]:
        """Each message that Twilio took, with what becomes of it."""
        entries = self.stack.twilio.ledger.entries()
        return [(entry.sid, fate) for entry, fate in zip(entries, self.fates, strict=False)]

    def has_arrived(self) -> bool:
        """Whether it was reported of any message that it is on the phone."""
        return any(attempt["delivery_status"] == "delivered" for attempt in self.attempts())

    def step(self, what: str, number: int) -> None:
        """Something happens; `number` says which, or for how long nothing did."""
        self.stack.move_clock(timedelta(minutes=number))
        messages = self.messages()
        match what:
            case "run":
                self.run()
            case "refused":
                self.stack.move_clock(HALF_AN_HOUR)
                self.run(refused=True)
            case "blind days" if any(row["in_doubt_since"] for row in self.rows()):
                self.stack.twilio.fail(ListError(), times=None)
                self.stack.move_clock(BLIND_DAYS)
                self.run()
            case "stop" if number > 20:  # half of them
                self.business.connection.execute(
                    "select record_inbound_sms(%s, %s, 'STOP', 'stop')", [PHONE, "SM" + "e" * 32]
                )
            case "anew" if self.anew < ANEW:
                self.queue_anew(number)
            case "twilio" if messages:
                self.twilio_learns(*messages[number % len(messages)])
            case "callback" if messages:
                self.call_back(*messages[number % len(messages)], number)
            case "blind look":
                self.stack.twilio.fail(FetchError(), times=None)
                sync_deliveries(self.services, limit=10)
                self.stack.twilio.heal()
            case "look":
                sync_deliveries(self.services, limit=10)

    def run(self, *, refused: bool = False) -> None:
        """A run of the queue; Twilio's answer to a send may be lost, or it may refuse it."""
        known = [(fate, self.told[sid]) for sid, fate in self.messages()]
        arrived = self.has_arrived()
        sent = len(self.stack.twilio.ledger.entries())
        lost = sent < len(self.fates) and self.fates[sent].answer_lost
        if refused:
            self.stack.twilio.fail(JsonError(21612, http_status=400))
        elif lost:
            self.stack.twilio.fail(AcceptThenDrop())
        run(self.queue, self.sender)
        self.stack.twilio.heal()
        if len(self.messages()) > len(known):
            assert not arrived
            every_earlier_one_was_called_lost(known, anew=self.anew > 0)

    def queue_anew(self, number: int) -> None:
        """The application does, if the text has ended; what Twilio learns meanwhile is unheard of by the next run."""
        if queue_sms_retry(self.log, None, queue=self.queue).result != "queued":
            return
        self.anew += 1
        for sid, fate in self.messages()[: number % 3]:
            self.twilio_learns(sid, fate)
        self.stack.move_clock(timedelta(minutes=2))
        self.run()

    def twilio_learns(self, sid: str, fate: Fate) -> None:
        """The next status of a message."""
        if self.told[sid] < len(fate.statuses):
            status, code = fate.statuses[self.told[sid]]
            self.stack.twilio.report(sid, status, code, arrived=fate.arrives)
            self.told[sid] += 1

    def call_back(self, sid: str, fate: Fate, number: int) -> None:
        """Any status that Twilio has known of a message so far: late, again, or in another order."""
        if not self.told[sid]:
            return
        status, code = fate.statuses[number % self.told[sid]]
        attempt = self.business.connection.execute(
            "select id from sms_send_attempts order by begun_at offset %s limit 1",
            [[known for known, _ in self.messages()].index(sid)],
        ).fetchone()
        assert attempt is not None
        by_attempt = attempt["id"] if number % 2 or self.fates[0].answer_lost else None
        self.business.connection.execute(
            "select settle_sms_attempt(%s, %s, delivery_status => %s, error_code => %s)",
            [by_attempt, sid, status, code],
        )

    def calm_down(self) -> None:
        """Everything that Twilio will ever know comes out, and nothing is lost any more, for six days.

        If the text failed in doubt, it is queued anew, so that somebody looks for it.
        """
        if any(attempt["outcome"] == "in_doubt" for attempt in self.attempts()):
            queue_sms_retry(self.log, None, queue=self.queue)
        for hours in (0, 1, 3, 8, 12, 24, 24, 24, 24, 24):
            for sid, fate in self.messages():
                while self.told[sid] < len(fate.statuses):
                    self.twilio_learns(sid, fate)
            self.stack.move_clock(timedelta(hours=hours, minutes=11))
            sync_deliveries(self.services, limit=10)
            self.run()


@contextmanager
def world(stack: Stack, fates: list[Fate]) -> Iterator[World]:
    """Empty tables, noon in New York, and one text that is due."""
    with ExitStack() as opened:
        connection = opened.enter_context(stack.connect())
        connection.execute(EMPTY)
        stack.twilio.heal()
        stack.twilio.ledger.clear()
        stack.set_clock(NOON)
        business = Business(connection, stack.now).open()
        queue = opened.enter_context(SupabaseQueue(stack.settings()))
        sender = opened.enter_context(TwilioSender(stack.settings()))
        records = opened.enter_context(SupabaseDeliveries(stack.settings()))
        services = DeliveryServices(records, sender, Profile(delivery_retries=RETRIES), 1)
        log = business.row(business.due_text())["send_log_id"]
        yield World(stack, business, queue, sender, services, log, fates)


@pytest.mark.parametrize("orders", [6, pytest.param(60, marks=pytest.mark.by_hand)])
def test_callbacks_and_looks_in_any_order_end_alike(stack: Stack, orders: int) -> None:
    """The final status is right; a text is sent again only after a failure that passes, once for each, after trouble
    of its sender, or when the application queues it anew; never after it arrived by what was known, nor while it might.
    """

    @settings(max_examples=RUNS or orders, derandomize=not RUNS)
    @given(of=st.lists(fates(), min_size=4, max_size=4), steps=STEPS)
    def in_any_order(of: list[Fate], steps: list[tuple[str, int]]) -> None:
        with world(stack, of) as seen:
            seen.run()
            for what, number in steps:
                seen.step(what, number)
            seen.calm_down()
            event(f"{len(seen.messages())} messages, {seen.stack.twilio.ledger.arrived()} of them on the phone")
            excused = sum(attempt["delivery_excused"] for attempt in seen.attempts())
            assert len(seen.messages()) <= 1 + RETRIES + seen.anew + excused
            each_attempt_has_the_last_word(seen)
            the_text_ends_as_its_messages_did(seen)

    in_any_order()


def every_earlier_one_was_called_lost(known: list[tuple[Fate, int]], *, anew: bool) -> None:
    """Of each message that Twilio took earlier it had said a failure that passes, and not that it arrived after all. If
    it does not pass, the application knew better, which has queued the text anew.
    """
    for fate, told in known:
        heard = fate.statuses[:told]
        assert any(status in FAILURES and (anew or twilio_refusal(code).retryable) for status, code in heard), heard
        assert all(status != "delivered" for status, _ in heard), heard


def each_attempt_has_the_last_word(seen: World) -> None:
    """Which Twilio said, or for a message of which it said nothing final: unknown."""
    attempts = seen.attempts()
    assert [attempt["delivery_look_at"] for attempt in attempts] == [None] * len(attempts)
    by_sid = {attempt["twilio_sid"]: attempt for attempt in attempts}
    for sid, fate in seen.messages():
        last, code = fate.statuses[-1] if fate.statuses else ("queued", None)
        final = last if last in ("delivered", *FAILURES) else "unknown"
        assert (by_sid[sid]["delivery_status"], by_sid[sid]["delivery_code"]) == (final, code), (sid, fate)


def the_text_ends_as_its_messages_did(seen: World) -> None:
    """Delivered if any message was; else as the last one."""
    statuses = [attempt["delivery_status"] for attempt in seen.attempts()]
    rows, log = seen.rows(), seen.business.log_of(seen.rows()[0]["id"])
    ends = {row["status"] for row in rows}
    assert ends <= {"completed", "failed", "cancelled"}
    if "delivered" in statuses:
        assert ("completed" in ends, log["status"]) == (True, "delivered")
    elif "unknown" in statuses:
        # A row that failed in doubt stays so, and one that a STOP cancelled; its send log is told of a late callback.
        ended = ("In doubt", "Customer opted out")
        otherwise = any((row["last_error"] or "").startswith(ended) for row in rows)
        assert ("completed" in ends or otherwise, log["status"]) == (True, "sent")
    else:
        assert "completed" not in ends, (ends, statuses)
        assert all(row["last_error"] for row in rows)
        assert log["status"] in ("undelivered", "failed")
