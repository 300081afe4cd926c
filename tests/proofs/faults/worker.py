"""Worker processes of the proof: the production pipeline and adapters, which die or stop where they are told to.

    python -m tests.proofs.faults.worker

reads orders from stdin, a JSON line each, and forks a worker for each: it has imported everything, and has neither
threads nor connections, so a worker costs milliseconds. Reports go to stdout, a JSON line each. At the end of stdin
every worker is killed. The kill points are wrapped around the adapters; no production code is changed.
"""

import json
import os
import selectors
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, Final, NoReturn

from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection
from urllib3.connectionpool import HTTPConnectionPool

from smsretry.adapters.supabase import calls
from smsretry.adapters.supabase.queue import SupabaseQueue
from smsretry.adapters.twilio.sender import TwilioSender
from smsretry.errors import QueueUnreachable
from smsretry.retry import doubt
from smsretry.retry.answers import Begun, Finished
from smsretry.retry.models import Claim, ItemResult, Look, SenderId, Text
from smsretry.retry.outcome import InDoubt, Outcome
from smsretry.sending import pipeline, run
from smsretry.sending.ports import Batch, Services
from smsretry.sending.requests import Begin, Finish
from smsretry.sending.run import Run
from smsretry.sending.scheduled import queue_scheduled_sends
from smsretry.settings import Settings
from tests.proofs.faults.fate import Fate, report_event
from tests.proofs.faults.orders import Event, Order
from tests.proofs.faults.polling import poll

STALE_MINUTES: Final = 10


class MortalQueue(SupabaseQueue):
    """The production adapter, with places to die at."""

    def __init__(self, settings: Settings, fate: Fate, order: Order) -> None:
        super().__init__(settings)
        self._fate = fate
        self._only_once = order.stall_at is not None
        """Of a worker that is put to sleep: what it claims after it wakes is its own, and no late write."""
        self._has_claimed = False

    def claim_texts(self, limit: int, **more: Any) -> Batch:
        return self._learned(lambda: super(MortalQueue, self).claim_texts(limit, **more))

    def claim_suspect(self, **more: Any) -> Batch:
        return self._learned(lambda: super(MortalQueue, self).claim_suspect(**more))

    def _learned(self, claim: Callable[[], Batch]) -> Batch:
        if self._only_once and self._has_claimed:
            return Batch()
        self._has_claimed = True
        batch = claim()
        self._fate.learn(batch.texts)
        return batch

    def begin(self, request: Begin) -> Begun:
        body = request.claim.body or ""
        self._fate.at("claimed", body)
        begun = super().begin(request)
        if begun.answer == "go":
            self._fate.at("begun", body)
        return begun

    def finish(self, request: Finish) -> Finished:
        finished = super().finish(request)
        self._fate.at("finished", request.claim.body or "")
        return finished


class MortalSender(TwilioSender):
    """The production adapter, with places to die at; one is between the request's last byte and its answer."""

    def __init__(self, settings: Settings, fate: Fate, order: Order) -> None:
        super().__init__(settings)
        self._fate = fate
        self._order = order
        self._sending = threading.local()
        sending = self._sending

        class Connection(HTTPConnection):
            def getresponse(self) -> Any:
                if body := getattr(sending, "body", None):
                    fate.at("posted", body)
                return super().getresponse()

        class Pool(HTTPConnectionPool):
            ConnectionCls = Connection

        adapter = HTTPAdapter()
        adapter.poolmanager.pool_classes_by_scheme = {"http": Pool}
        self._http.session.mount("http://", adapter)

    def send(self, text: Text) -> Outcome:
        self._sending.body = text.body
        outcome = super().send(text)
        self._sending.body = None
        if isinstance(outcome, InDoubt):
            report_event(Event(worker=self._order.worker, kind="doubt", detail=outcome.why))
        self._fate.at("answered", text.body)
        return outcome

    def look_up(self, phone: str, *, sender: SenderId, since: datetime, at: datetime) -> Look | None:
        if self._order.without == "account":
            sender = SenderId(self.default.account, sender.sent_by)
        found = super().look_up(phone, sender=sender, since=since, at=at)
        self._fate.at("looking", phone)
        return Look(sightings=()) if self._order.without == "reconcile" else found


class ReportingRun(Run):
    """The production run; the harness also hears what went wrong with a row, and where."""

    def __init__(self, services: Services, order: Order) -> None:
        super().__init__(services)
        self._order = order

    def process(self, claim: Claim) -> ItemResult:
        try:
            return super().process(claim)
        except Exception as error:
            _report_error(self._order, error)
            raise


def work(order: Order) -> None:
    """One run, as a flow does it: recover, claim, process; or look after deliveries."""
    fate = Fate(order)
    vars(calls).update(_PAUSES=(0.05, 0.2))
    stopwatch = pipeline._stopwatch
    vars(pipeline).update(_stopwatch=lambda: stopwatch() + fate.overslept.total_seconds())
    if order.without == "quarantine":
        vars(doubt).update(MIN_LOOKS=1, MIN_QUARANTINE=timedelta(0))
    settings = Settings.model_validate(order.settings)
    try:
        if order.polling:
            poll(settings, fate, order)
            return
        with MortalQueue(settings, fate, order) as queue, MortalSender(settings, fate, order) as sender:
            if order.queueing:
                _queue_scheduled(queue, fate, order)
            services = Services(queue, sender, settings.profile, concurrency=1 if order.one_by_one else 50)
            run.run_once(ReportingRun(services, order), limit=order.limit, stale_minutes=STALE_MINUTES)
    except Exception as error:  # noqa: BLE001 - whatever it is, the harness must hear of it
        _report_error(order, error)


def _queue_scheduled(queue: SupabaseQueue, fate: Fate, order: Order) -> None:
    """One run of process-scheduled-sends, in batches of five, which may be this worker's end."""

    if order.dies_queueing_after is not None:
        threading.Timer(order.dies_queueing_after, fate.die, ["queueing"]).start()
    queue_scheduled_sends(queue, batch=5, seconds=10)
    if order.dies_queueing_after is not None:
        signal.pause()


def _report_error(order: Order, error: Exception) -> None:
    if isinstance(error, QueueUnreachable):
        report_event(Event(worker=order.worker, kind="trouble", detail=str(error)[:300]))
    else:
        what = "".join(traceback.format_exception(error))[-1500:]
        report_event(Event(worker=order.worker, kind="bug", detail=what))


def _fork(order: Order) -> int:
    pid = os.fork()
    if pid:
        return pid
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        work(order)
    finally:
        os._exit(0)


class Foreman:
    """Forks workers and tells what becomes of them."""

    def __init__(self) -> None:
        self._workers: dict[int, int] = {}
        self._unread = b""

    def serve(self) -> None:
        """Until stdin ends."""
        wake, waker = os.pipe()
        os.set_blocking(wake, False)
        os.set_blocking(waker, False)
        signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
        signal.set_wakeup_fd(waker)
        selector = selectors.DefaultSelector()
        selector.register(0, selectors.EVENT_READ)
        selector.register(wake, selectors.EVENT_READ)
        report_event(Event(worker=0, kind="ready"))
        while True:
            ready = {key.fd for key, _ in selector.select()}
            if wake in ready:
                os.read(wake, 4096)
                self._reap()
            if 0 in ready and not self._obey():
                break
        for pid in self._workers:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)

    def _obey(self) -> bool:
        received = os.read(0, 65536)
        *lines, self._unread = (self._unread + received).split(b"\n")
        for line in lines:
            command = json.loads(line)
            if "signal" in command:
                for pid, worker in self._workers.items():
                    if worker == command["to"]:
                        os.kill(pid, command["signal"])
            else:
                order = Order.model_validate(command)
                self._workers[_fork(order)] = order.worker
        return bool(received)

    def _reap(self) -> None:
        while self._workers:
            pid, status = os.waitpid(-1, os.WNOHANG | os.WUNTRACED)
            if pid == 0:
                return
            if os.WIFSTOPPED(status):
                report_event(Event(worker=self._workers[pid], kind="stopped"))
            else:
                how = signal.Signals(os.WTERMSIG(status)).name if os.WIFSIGNALED(status) else ""
                report_event(Event(worker=self._workers.pop(pid), kind="ended", detail=how))


def _warm_up() -> None:
    """Import what the adapters import on first use, so that no worker has to."""
    settings = Settings.model_validate(
        {
            "supabase_url": "http://127.0.0.1:9", "supabase_service_role_key": "a.b.c",
            "twilio_account_sid": "AC" + "0" * 32, "twilio_auth_token": "none",
            "twilio_from_number": "+15005550006", "twilio_base_url": "http://127.0.0.1:9",
        }
    )  # fmt: skip
    with SupabaseQueue(settings), TwilioSender(settings) as sender:
        moment = datetime.fromisoformat("2027-01-01T00:00:00+00:00")
        sender.look_up("+12125550100", sender=SenderId(None, None), since=moment, at=moment)


def main() -> NoReturn:
    """Serve orders until stdin ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal's Ctrl-C is the harness's to handle
    _warm_up()
    Foreman().serve()
    sys.exit(0)


if __name__ == "__main__":
    main()
