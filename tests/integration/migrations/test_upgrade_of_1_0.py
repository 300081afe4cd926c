"""A database of 1.0.0, with rows in every state, takes all that came later while its workers run: nothing is lost.

The old workers make the calls that 1.0.0 made. Once the database is new, businesses get senders of their own, and the
workers of both versions go on beside each other.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import partial
from importlib.resources import files
from threading import Event
from typing import Any, ClassVar, Final, TypeVar

import pytest

from smsretry.adapters.migrations.migrate import Migration, migrate, migrations
from smsretry.adapters.supabase.deliveries import SupabaseDeliveries
from smsretry.adapters.supabase.queue import SupabaseQueue
from smsretry.adapters.twilio.sender import TwilioSender
from smsretry.errors import QueueMismatch
from smsretry.local import stack as embedded
from smsretry.local.stack import SENDER, Stack
from smsretry.local.twilio.faults import AcceptThenDrop, DropUnaccepted, JsonError
from smsretry.retry.models import Claim
from smsretry.retry.profile import DEFAULT
from smsretry.sending.delivering import sync_deliveries
from smsretry.sending.pipeline import process_sms_retry_item
from smsretry.sending.ports import DeliveryServices, Services
from smsretry.sending.run import Run, run_once
from smsretry.sending.scheduled import queue_scheduled_sends
from tests.conftest import NOON_IN_NEW_YORK, Business
from tests.support.platform import OwnSender, hexadecimal, open_account

pytestmark = pytest.mark.long

RELEASED: Final = "20261126034022"
"""The last migration of 1.0.0."""
EACH: Final = 4
"""Texts in each state."""
_T = TypeVar("_T")
_CLOCK: Final = Migration(
    "99999999999999", "movable_clock", files("smsretry.local.postgres").joinpath("movable_clock.sql").read_text()
)
"""A migration makes the clock that of the machine: here it goes on, in the same transaction, as the stack's."""
_MIGRATING: Final = Event()
"""Set while functions are dropped and created anew under the old workers."""
WAITING: Final = 60
"""Texts that are due all the while."""


class OldQueue(SupabaseQueue):
    """Asks the database as 1.0.0 did: nothing that its functions did not take."""

    took: ClassVar[dict[str, list[str]]] = {}
    """The parameters of each function of 1.0.0."""

    def claim_due(self, limit: int, **_: Any) -> list[Claim]:
        claims = self.claims("claim_due_sms_retries", {"limit_count": limit, "begins": True})
        return [claim.model_copy(update={"sender": None}) for claim in claims]

    def _once(self, function: str, values: Mapping[str, Any]) -> Any:
        calls = values.get("calls") if function == "group_sms_calls" else None
        for call in calls or ():
            call["values"] = self._then(call["function"], call["values"])
        return super()._once(function, self._then(function, values))

    def _then(self, function: str, values: Mapping[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in values.items() if name in self.took[function]}


@pytest.fixture
def released(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stack]:
    """A stack whose database is one of 1.0.0. Noon in New York."""
    shipped = [migration for migration in migrations() if migration.version <= RELEASED]
    monkeypatch.setattr(embedded, "migrate", partial(migrate, shipped=shipped))
    with Stack(tmp_path_factory.mktemp("released")) as stack:
        stack.set_clock(NOON_IN_NEW_YORK)
        with stack.connect() as connection:
            functions = connection.execute(
                "select proname, proargnames from pg_proc where pronamespace = 'public'::regnamespace"
            )
            monkeypatch.setattr(OldQueue, "took", {row["proname"]: row["proargnames"] or [] for row in functions})
        yield stack
    stack.postgres.remove()


class Town:
    """Texts in every state, by name; how many messages each gets in the end."""

    def __init__(self, stack: Stack, business: Business, area: str = "+1212555") -> None:
        self._stack, self._business = stack, business
        self.messages: dict[str, int] = {}
        """By body."""
        self._phones = (f"{area}{n:04}" for n in range(10_000))

    def texts(self, state: str, count: int, *, messages: int = 1, **more: Any) -> list[str]:
        """The numbers of so many new texts."""
        phones = [next(self._phones) for _ in range(count)]
        for n, phone in enumerate(phones):
            self.messages[f"{state} {n}"] = messages
            self._business.due_text(phone=phone, body=f"{state} {n}", **more)
        return phones

    def fill(self) -> None:
        """By the calls of 1.0.0, whose workers die where it says so."""
        for fault, state in ((AcceptThenDrop(), "accepted, no answer"), (DropUnaccepted(), "not accepted, no answer")):
            for phone in self.texts(state, EACH):
                self._stack.twilio.fail(fault, to=phone)
        for phone in self.texts("refused", EACH, messages=0):
            self._stack.twilio.fail(JsonError(21211, http_status=400), to=phone)
        self.texts("sent", EACH)
        self.texts("night", EACH, timezone="Pacific/Honolulu")
        self.texts("opted out", EACH, messages=0, consent="opted_out")
        with OldQueue(self._stack.settings()) as queue, TwilioSender(self._stack.settings()) as sender:
            work = partial(process_sms_retry_item, queue=queue, sender=sender)
            for claim in queue.claim_due(1000):
                work(claim)
            for state, until in (("claimed", _claim), ("begun", _begin), ("sent, not recorded", _send)):
                self.texts(state, EACH)
                for claim in queue.claim_due(1000):
                    until(claim, queue, sender)
        for n in range(EACH):
            self.messages[f"planned {n}"] = 1
            self._business.scheduled(due=timedelta(minutes=30), body=f"planned {n}", phone=next(self._phones))


class _Died(BaseException):
    pass


def _claim(claim: Claim, queue: OldQueue, sender: TwilioSender) -> None:
    """Its worker dies at once."""


def _begin(claim: Claim, queue: OldQueue, sender: TwilioSender) -> None:
    """Its worker dies before its request leaves."""
    _dies(claim, queue, sender, request=False)


def _send(claim: Claim, queue: OldQueue, sender: TwilioSender) -> None:
    """Its worker dies before it has read the answer."""
    _dies(claim, queue, sender, request=True)


def _dies(claim: Claim, queue: OldQueue, sender: TwilioSender, *, request: bool) -> None:
    class Dying(TwilioSender):
        def send(self, text: Any) -> Any:
            if request:
                sender.send(text)
            raise _Died

    with pytest.raises(_Died):
        process_sms_retry_item(claim, queue=queue, sender=Dying(sender._settings))


def _unless_created_anew(call: Callable[[], _T]) -> _T | None:
    """A call under way as its function is created anew may fail; it changes nothing, and the next run asks again."""
    migrating = _MIGRATING.is_set()
    try:
        return call()
    except QueueMismatch:
        if not migrating:
            raise
        return None


def _work_off(stack: Stack, queue_of: Callable[[Any], SupabaseQueue], *, most: int = 1000) -> int:
    """A worker that claims a few at a time, until nothing is due for a while; how many it claimed."""
    claimed = idle = 0
    with queue_of(stack.settings()) as queue, TwilioSender(stack.settings()) as sender:
        while idle < 10 and claimed < most:
            claims = _unless_created_anew(lambda: queue.claim_due(3, default=sender.default)) or []
            claimed += len(claims)
            for claim in claims:
                _unless_created_anew(partial(process_sms_retry_item, claim, queue=queue, sender=sender))
            idle = 0 if claims else idle + 1
    return claimed


def _finish(stack: Stack) -> None:
    """New workers, until the last text is through: an hour passes, and then the night in Honolulu."""
    for minutes in (11, 11, 11, 11, 20, 20, 60, 60, 60, 60):
        stack.move_clock(timedelta(minutes=minutes))
        settings = stack.settings()
        with SupabaseQueue(settings) as queue, TwilioSender(settings) as sender:
            queue_scheduled_sends(queue, batch=50, seconds=10)
            run_once(Run(Services(queue, sender, DEFAULT)), limit=1000, stale_minutes=10)
        with SupabaseDeliveries(settings) as records, TwilioSender(settings) as reports:
            sync_deliveries(DeliveryServices(records, reports, DEFAULT), limit=1000)


def test_a_database_of_1_0_with_rows_in_every_state_loses_and_doubles_nothing(released: Stack) -> None:
    """Its workers run on, also beside new ones, and send nothing for a business that has a sender of its own."""
    stack = released
    with stack.connect() as connection:
        town = Town(stack, Business(connection, stack.now).open())
        town.fill()
        mover = Business(connection, stack.now).open()
        moved = Town(stack, mover, "+1646555")
        town.texts("waiting", WAITING)
        states = connection.execute(
            "select status, in_doubt_since is not null as doubted, begun_at is not null as begun from sms_retry_queue"
        ).fetchall()
        assert {row["status"] for row in states} == {"pending", "processing", "completed", "failed", "cancelled"}
        assert any(row["doubted"] for row in states)
        assert any(row["begun"] for row in states if row["status"] == "processing")

        with ThreadPoolExecutor(2) as pool:
            _MIGRATING.set()
            old = [pool.submit(_work_off, stack, OldQueue) for _ in range(2)]
            applied = migrate(stack.database_url, shipped=[*migrations(), _CLOCK])
            _MIGRATING.clear()
            assert {m.version for m in applied} == {m.version for m in (*migrations(), _CLOCK) if m.version > RELEASED}
            assert sum(worker.result() for worker in old)

        own = OwnSender(hexadecimal("AC", "own"), hexadecimal("MG", "own"))
        open_account(stack, own.account, hexadecimal("", "token"), subaccount=True, senders=[own.sent_by])
        own.assign(connection, mover.id)
        moved.texts("moved", EACH)
        town.texts("waiting as well", WAITING)
        for queue in (OldQueue, SupabaseQueue):
            assert _work_off(stack, queue, most=9) == 9
        with ThreadPoolExecutor(2) as pool:
            for worker in [pool.submit(_work_off, stack, queue) for queue in (OldQueue, SupabaseQueue)]:
                worker.result()
        _finish(stack)

        sent = Counter(entry.body for entry in stack.twilio.ledger.entries())
        assert sent == Counter(town.messages | moved.messages)
        senders: dict[bool, set[object]] = {True: set(), False: set()}
        for entry in stack.twilio.ledger.entries():
            senders[entry.body in moved.messages].add((entry.account_sid, entry.sent_by))
        assert senders == {True: {own.address}, False: {(stack.environment()["TWILIO_ACCOUNT_SID"], SENDER)}}
        left = connection.execute(
            "select status, last_error from sms_retry_queue where status in ('pending', 'processing')"
        ).fetchall()
        assert left == []
