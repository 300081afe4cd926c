"""Workers of the proof: the production pipeline and adapters, which die or stop where they are told to.

A worker is forked from a process that has imported everything, and has neither threads nor connections, so it costs
milliseconds. The kill points are wrapped around the adapters; no production code is changed.
"""

import os
import signal
import threading
import traceback
from collections.abc import Callable, Sequence
from datetime import timedelta
from multiprocessing.connection import Connection
from typing import Any

from urllib3.connection import HTTPConnection
from urllib3.connectionpool import HTTPConnectionPool

from smsretry.adapters.supabase import calls
from smsretry.adapters.supabase.queue import SupabaseQueue
from smsretry.adapters.twilio.provider import TwilioProvider
from smsretry.errors import QueueUnreachable
from smsretry.retry.answers import BeginAnswer, Finished
from smsretry.retry.delivery import DeliveryReport, OpenDelivery
from smsretry.retry.models import Claim, ItemResult, Look, Text
from smsretry.retry.outcome import InDoubt, Outcome
from smsretry.sending import pipeline
from smsretry.sending.delivering import sync_deliveries
from smsretry.sending.ports import Batch, Services
from smsretry.sending.run import Run, run_once
from smsretry.sending.scheduled import queue_scheduled_sends
from smsretry.settings import Settings
from smsretry.vocabulary import Followed
from tests.proofs.faults.orders import SAFEGUARDS, Event, KillPoint, Order, PollPoint
from tests.proofs.town.luck import dice


class Fate:
    """Where this worker dies or stands still: decided by the order's seed, the text and its claim number."""

    def __init__(self, order: Order, line: Connection) -> None:
        self._order, self._line = order, line
        self._claims: dict[str, Claim] = {}
        self._stalled = False
        self.overslept = timedelta(0)
        """How long it stood still, by what it is told."""

    def learn(self, claims: Sequence[Claim]) -> None:
        """Remember the claims by body, and those in doubt by number."""
        self._claims |= {
            (claim.attempt.phone if claim.attempt else claim.body) or "": claim
            for claim in claims
        }

    def at(self, point: KillPoint, name: str) -> None:
        """The worker is at this point with the text of this body, or of this number when it looks."""
        if claim := self._claims.get(name):
            if claim.body in self._order.kill_targets and point == "answered":
                self.die(point)
            self._at(point, name, claim.body, claim.claim_no)

    def at_delivery(self, point: PollPoint, message: OpenDelivery) -> None:
        """The worker is at this point with a message that it looks after."""
        self._at(point, str(message.send_log_id), message.send_log_id, message.asks)

    def _at(self, point: str, name: str, *lot: object) -> None:
        if (
            point == self._order.kill_at
            and dice(self._order.seed, *lot) < self._order.kill_rate
        ):
            self.die(point)
        if point == self._order.stall_at and not self._stalled:
            self._stalled = True
            self.report(
                "stalled",
                point,
                (
                    name,
                    *(other_name for other_name in self._claims if other_name != name),
                ),
            )
            self._line.recv()
            self.overslept = self._order.oversleeps

    def die(self, point: str) -> None:
        """Here."""
        self.report("killed", point)
        os.kill(os.getpid(), signal.SIGKILL)

    def report(self, *event: Any) -> None:
        """Tell the harness."""
        self._line.send(Event(*event))

    def fell_over(self, error: Exception) -> None:
        """Tell it of an error: a database that was not there is no bug."""
        if isinstance(error, QueueUnreachable):
            self.report("trouble", str(error)[:300])
        else:
            self.report("bug", "".join(traceback.format_exception(error))[-1500:])


class _Queue(SupabaseQueue):
    def __init__(self, order: Order, fate: Fate) -> None:
        super().__init__(order.settings)
        self._fate = fate
        self.claimed: dict[str, OpenDelivery] = {}
        """Messages to look after, by SID."""
        self._claims_left = 1 if order.stall_at else 1000
        """What a worker that was put to sleep claims after it wakes is its own, and no late write."""

    def claim_texts(self, limit: int, **options: Any) -> Batch:
        return self._learned(lambda: super(_Queue, self).claim_texts(limit, **options))

    def _learned(self, claim: Callable[[], Batch]) -> Batch:
        if not self._claims_left:
            return Batch()
        self._claims_left -= 1
        batch = claim()
        self._fate.learn(batch.texts)
        return batch

    def begin(self, claim: Claim, *arguments: Any, **options: Any) -> BeginAnswer:
        body = claim.body or ""
        self._fate.at("claimed", body)
        begun = super().begin(claim, *arguments, **options)
        if begun.answer == "go":
            self._fate.at("begun", body)
        return begun

    def finish(self, claim: Claim, *arguments: Any) -> Finished:
        finished = super().finish(claim, *arguments)
        self._fate.at("finished", claim.body or "")
        return finished

    def claim_deliveries(self, limit: int, **options: Any) -> list[OpenDelivery]:
        if not self._claims_left:
            return []
        self._claims_left -= 1
        messages = super().claim_deliveries(limit, **options)
        self.claimed |= {message.sid: message for message in messages}
        return messages

    def follow(self, message: OpenDelivery, *decided: Any) -> Followed:
        answer = super().follow(message, *decided)
        self._fate.at_delivery("followed", message)
        return answer


class _Sender(TwilioProvider):
    """One of its points is between the request's last byte and its answer."""

    def __init__(
        self, settings: Settings, fate: Fate, records: _Queue | None = None
    ) -> None:
        super().__init__(settings)
        self._fate, self._records = fate, records
        self._sending = sending = threading.local()

        class Watched(HTTPConnection):
            def getresponse(self) -> Any:
                if body := getattr(sending, "body", None):
                    fate.at("posted", body)
                return super().getresponse()

        class Pool(HTTPConnectionPool):
            ConnectionCls = Watched

        self._http.adapter.poolmanager.pool_classes_by_scheme = {"http": Pool}

    def send(self, text: Text) -> Outcome:
        self._sending.body = text.body
        outcome = super().send(text)
        self._sending.body = None
        if isinstance(outcome, InDoubt):
            self._fate.report("doubt", outcome.why)
        self._fate.at("answered", text.body)
        return outcome

    def look_up(self, phone: str, **of: Any) -> Look:
        lookup = super().look_up(phone, **of)
        self._fate.at("looking", phone)
        return lookup

    def fetch_report(self, sid: str, *, account: str | None) -> DeliveryReport:
        message = self._records.claimed[sid] if self._records else None
        if message:
            self._fate.at_delivery("taken", message)
        word = super().fetch_report(sid, account=account)
        if message:
            self._fate.at_delivery("asked", message)
        return word


class _Run(Run):
    """The harness also hears what went wrong with a row, and where."""

    def __init__(self, services: Services, fate: Fate) -> None:
        super().__init__(services)
        self._fate = fate

    def process(self, claim: Claim) -> ItemResult:
        try:
            return super().process(claim)
        except Exception as error:
            self._fate.fell_over(error)
            raise


def work(order: Order, line: Connection) -> None:
    """One run, as a flow does it: recover, claim, process; or look after deliveries."""
    fate = Fate(order, line)
    vars(calls).update(_PAUSES=(0.05, 0.2))
    stopwatch = pipeline._stopwatch
    vars(pipeline).update(
        _stopwatch=lambda: stopwatch() + fate.overslept.total_seconds()
    )
    if order.without:
        SAFEGUARDS[order.without].take_away_here()
    try:
        _poll(order, fate) if order.polling else _send(order, fate)
    except Exception as error:  # noqa: BLE001 - whatever it is, the harness must hear of it
        fate.fell_over(error)
    finally:
        os._exit(0)  # whatever threads are left


def _send(order: Order, fate: Fate) -> None:
    with _Queue(order, fate) as queue, _Sender(order.settings, fate) as sender:
        if order.queueing:
            if order.dies_queueing_after is not None:
                threading.Timer(
                    order.dies_queueing_after, fate.die, ["queueing"]
                ).start()
            queue_scheduled_sends(queue, batch=5, seconds=10)
            if order.dies_queueing_after is not None:
                signal.pause()
        services = Services(
            queue,
            sender,
            order.settings.profile,
            concurrency=1 if order.one_by_one else 50,
        )
        run_once(_Run(services, fate), limit=order.limit, stale_minutes=10)


def _poll(order: Order, fate: Fate) -> None:
    with (
        _Queue(order, fate) as records,
        _Sender(order.settings, fate, records) as reports,
    ):
        services = Services(
            records, reports, order.settings.profile, 1 if order.one_by_one else 10
        )
        for followed in sync_deliveries(services, limit=order.limit).followed:
            if followed.came_to == "error":
                fate.report("bug", followed.why[:300])
