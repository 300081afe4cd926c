"""The carrier's side of a run: Twilio learns what became of its messages, and calls the application, or does not.

The application is played as its documents show it: it checks the signature, and calls `settle_sms_attempt` over HTTP.
"""

import heapq
import threading
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Self
from urllib.parse import parse_qs, urlsplit

import httpx
from twilio.request_validator import RequestValidator

from smsretry.local.stack import Stack
from smsretry.local.twilio.ledger import Entry
from tests.proofs.faults.journeys import Stage, journey
from tests.proofs.faults.orders import dice
from tests.proofs.faults.texts import PlannedText

CALLBACK_URL: Final = "https://app.example/twilio"
_PAUSE_SECONDS: Final = 0.05
_LOST, _LATE, _REPEATED, _CALLED_AGAIN, _WITHOUT_ATTEMPT = 0.3, 0.35, 0.15, 0.7, 0.15


@dataclass(frozen=True, slots=True)
class Told:
    """Twilio learned this of a message, at that time."""

    at: datetime
    status: str
    code: int | None


@dataclass(frozen=True, slots=True, order=True)
class _Call:
    due: datetime
    lot: float
    """Decides the order of calls that are due at once."""
    sid: str
    status: str
    code: int | None
    nth: int = 0
    """How often it was made before."""


class Carrier:
    """Reports of one run's messages. A context manager, for its connection to the application."""

    def __init__(self, stack: Stack, seed: str, tokens: Mapping[str, str] | None = None) -> None:
        self.told: defaultdict[str, list[Told]] = defaultdict(list)
        """By SID: what Twilio knows, in the order in which it learned it."""
        self.counts: Counter[str] = Counter()
        """Callbacks, by what became of them."""
        self.refused: list[str] = []
        """Callbacks that the database did not understand, which is never right."""
        self._stack, self._seed = stack, seed
        self._number_of: dict[str, int] = {}
        self._messages: Counter[str] = Counter()
        self._seen = 0
        self._open: dict[str, tuple[Entry, list[Stage], str]] = {}
        """By SID: a message, what Twilio will still learn of it, and its name for the dice."""
        self._calls: list[_Call] = []
        environment = stack.environment()
        self._tokens = tokens or {environment["TWILIO_ACCOUNT_SID"]: environment["TWILIO_AUTH_TOKEN"]}
        self._http = httpx.Client(
            base_url=environment["SUPABASE_URL"],
            headers={
                "apikey": environment["SUPABASE_SERVICE_ROLE_KEY"],
                "Authorization": f"Bearer {environment['SUPABASE_SERVICE_ROLE_KEY']}",
            },
            timeout=5,
        )
        self._pool = ThreadPoolExecutor(4)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown()
        self._http.close()

    def expect(self, texts: Sequence[PlannedText]) -> None:
        """Learn which texts there are."""
        self._number_of |= {text.body: text.number for text in texts}

    @property
    def next_at(self) -> datetime | None:
        """When Twilio learns or calls next; None: never more."""
        learns = [entry.accepted_at + stages[0].after for entry, stages, _ in self._open.values()]
        return min([*learns, *(call.due for call in self._calls[:1])], default=None)

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Twilio learns and calls, beside whatever happens meanwhile."""
        over = threading.Event()

        def work() -> None:
            while not over.is_set():
                self.work()
                over.wait(_PAUSE_SECONDS)

        worker = threading.Thread(target=work)
        worker.start()
        try:
            yield
        finally:
            over.set()
            worker.join()

    def work(self) -> None:
        """Learn what Twilio learns by now, and make the calls that are due, four at once and in no order."""
        now = self._stack.now()
        entries = self._stack.twilio.ledger.entries()
        for entry in entries[self._seen :]:
            number = self._number_of[entry.body]
            nth = self._messages[entry.body]
            self._messages[entry.body] += 1
            if stages := journey(self._seed, number, nth):
                self._open[entry.sid] = (entry, stages, f"{number}/{nth}")
        self._seen = len(entries)
        for sid, (entry, stages, name) in list(self._open.items()):
            while stages and entry.accepted_at + stages[0].after <= now:
                self._learn(entry, name, stages.pop(0), now)
            if not stages:
                del self._open[sid]
        due = []
        while self._calls and self._calls[0].due <= now:
            due.append(heapq.heappop(self._calls))
        again = self._pool.map(self._make, sorted(due, key=lambda call: call.lot))
        for call in filter(None, again):
            heapq.heappush(self._calls, call)

    def _learn(self, entry: Entry, name: str, stage: Stage, now: datetime) -> None:
        sid = entry.sid
        self._stack.twilio.report(sid, stage.status, stage.code)
        self.told[sid].append(Told(entry.accepted_at + stage.after, stage.status, stage.code))
        self.counts["statuses"] += 1

        def lot(what: str) -> float:
            return dice(self._seed, what, name, stage.status)

        if lot("lost") < _LOST:
            self.counts["lost"] += 1
            return
        late = lot("late") < _LATE
        self.counts["late"] += late
        due = now + timedelta(minutes=90) * lot("how late") * late
        call = _Call(due, lot("order"), sid, stage.status, stage.code)
        heapq.heappush(self._calls, call)
        if lot("repeated") < _REPEATED:
            self.counts["repeated"] += 1
            later = due + timedelta(minutes=60) * lot("repeated when") * late
            heapq.heappush(self._calls, _Call(later, lot("again"), call.sid, call.status, call.code))

    def _make(self, call: _Call) -> _Call | None:
        """Make one call; if no answer came, perhaps the same one later."""
        callback = self._stack.twilio.callback(call.sid, call.status, call.code)
        token = self._tokens[callback.form["AccountSid"]]
        if not RequestValidator(token).validate(callback.url, callback.form, callback.signature):
            raise AssertionError("Twilio's own signature was refused")
        lot = dice(self._seed, "call", call.lot, call.nth)
        [attempt] = parse_qs(urlsplit(callback.url).query)["attempt"]
        values = {
            "attempt_id": None if lot < _WITHOUT_ATTEMPT else attempt,
            "twilio_sid": callback.form["MessageSid"],
            "delivery_status": callback.form["MessageStatus"],
            "error_code": callback.form.get("ErrorCode"),
        }
        try:
            answer = self._http.post("/rest/v1/rpc/settle_sms_attempt", json=values)
        except httpx.HTTPError:
            answer = None
        self.counts["calls"] += 1
        if answer is None or answer.status_code >= 500:
            self.counts["without an answer"] += 1
            if dice(self._seed, "again", call.lot, call.nth) < _CALLED_AGAIN:
                return _Call(
                    self._stack.now() + timedelta(minutes=10) * lot,
                    call.lot,
                    call.sid,
                    call.status,
                    call.code,
                    call.nth + 1,
                )
            return None
        self._check(answer, by_attempt=values["attempt_id"] is not None)
        return None

    def _check(self, answer: httpx.Response, *, by_attempt: bool) -> None:
        said = answer.text if answer.is_error else answer.json()
        if said == "unknown_attempt" and not by_attempt:  # its answer has not been kept yet
            return
        if said not in ("settled", "recorded", "already_settled"):
            self.refused.append(f"settle_sms_attempt answered {answer.status_code} {said}")
