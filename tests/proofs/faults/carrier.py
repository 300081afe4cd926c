"""The carriers of a run: what becomes of each message, and what Twilio tells the application of it, or does not.

The application is played as its documents show it: it calls `settle_sms_attempt` over HTTP.
"""

import threading
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final, Literal, Self
from urllib.parse import parse_qs, urlsplit

import httpx

from smsretry.local.stack import Stack
from tests.proofs.town.book import ReportedStatus
from tests.proofs.town.judge import PASSING_LOSSES
from tests.proofs.town.luck import dice, pick
from tests.proofs.town.texts import Text

CALLBACK_URL = "https://app.example/twilio"
OF_THE_NUMBER = {30006: "not_mobile"}
"""Codes that mark the number, and the `phone_status` of it."""
OF_A_STOP = (30630,)
"""Codes that say that the number has opted out."""
_LOST, _LATE, _REPEATED, _CALLED_AGAIN, _WITHOUT_ATTEMPT = 0.3, 0.35, 0.15, 0.7, 0.15
_PAUSE_SECONDS = 0.05
Way = Literal[
    "delivered",
    "lost",
    "after all",
    "refused",
    "refused, after all",
    "number",
    "sender",
    "canceled",
    "silent",
]
_DELIVERED: Final[tuple[Way, ...]] = ("delivered",) * 36
_FIRST: Final[tuple[Way, ...]] = (
    *_DELIVERED, "lost", "lost", "after all", "after all", "after all", "refused", "refused, after all", "number",
    "sender", "canceled", "silent",
)  # fmt: skip
"""Text by text, so that each is there in a run of 47."""
_LATER: Final[tuple[Way, ...]] = (
    *_DELIVERED[:4],
    "lost",
    "lost",
    "refused",
    "number",
    "silent",
)
_CODES: Final[dict[Way, tuple[int, ...]]] = {
    "lost": PASSING_LOSSES, "after all": PASSING_LOSSES, "sender": (30007, 30018), "refused": (30004, 30005),
    "refused, after all": (30004, 30005), "number": (*OF_THE_NUMBER, *OF_A_STOP),
}  # fmt: skip
Stage = tuple[timedelta, str, int | None]


def journey(seed: str, text: int, nth: int) -> list[Stage]:
    """What becomes of the nth message of a text, from 0: after which time Twilio learns which status and code."""

    def lot(subject: str) -> float:
        return dice(seed, subject, text, nth)

    way: Way = (
        pick(_LATER, seed, "way", text, nth) if nth else _FIRST[text * 7 % len(_FIRST)]
    )
    early = (("queued", 0.0, 0.25), ("sending", 1.0, 0.15), ("sent", 2.0, 0.4))
    stages: list[Stage] = [
        (timedelta(seconds=at), status, None)
        for status, at, share in early
        if lot(status) < share
    ]
    slow = (
        timedelta(hours=4)
        if lot("slow") < 0.1
        else timedelta(minutes=20)
        if lot("slow") < 0.3
        else timedelta(0)
    )
    at = timedelta(seconds=5 + 55 * lot("at")) + slow * lot("at")
    match way:
        case "silent":
            return stages
        case "delivered":
            return [*stages, (at, "read" if lot("read") < 0.05 else "delivered", None)]
        case "canceled":
            return [*stages[:1], (at, "canceled", None)]
    failed = pick(("undelivered", "failed"), seed, "failed", text, nth)
    stages.append((at, failed, pick(_CODES[way], seed, "code", text, nth)))
    if way == "after all":
        stages.append((at + timedelta(minutes=2 + 18 * lot("late")), "delivered", None))
    if way == "refused, after all":
        stages.append((at + timedelta(hours=1 + 39 * lot("late")), "delivered", None))
    return stages


@dataclass(frozen=True, slots=True, order=True)
class _Call:
    due: datetime
    lot: float
    """Decides the order of calls that are due at once."""
    sid: str
    report: tuple[str, int | None]
    nth: int = 0
    """How often it was made before."""


class Carrier:
    """Reports of one run's messages. A context manager, for its connection to the application."""

    def __init__(self, stack: Stack, seed: str) -> None:
        self.reports: defaultdict[str, list[ReportedStatus]] = defaultdict(list)
        """By SID: what Twilio knows, in the order in which it learned it."""
        self.counts: Counter[str] = Counter()
        """Callbacks, by what became of them."""
        self.refused: list[str] = []
        """Callbacks that the database did not understand, which is never right."""
        self._stack, self._seed = stack, seed
        self._number_of: dict[str | None, int] = {}
        self._messages: Counter[str] = Counter()
        self._seen_count = 0
        self._open: dict[str, tuple[datetime, list[Stage], str]] = {}
        """By SID: when it was accepted, what Twilio will still learn of it, and its name for the dice."""
        self._calls: list[_Call] = []
        environment = stack.environment()
        key = environment["SUPABASE_SERVICE_ROLE_KEY"]
        headers = {"apikey": key, "Authorization": f"Bearer {key}"}
        self._http = httpx.Client(
            base_url=environment["SUPABASE_URL"], headers=headers, timeout=5
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def expect(self, texts: Sequence[Text]) -> None:
        """Learn which texts there are."""
        self._number_of |= {text.body: text.number for text in texts}

    @property
    def next_at(self) -> datetime | None:
        """When Twilio learns or calls next; None: never more."""
        learns = [
            accepted_at + stages[0][0] for accepted_at, stages, _ in self._open.values()
        ]
        return min([*learns, *(call.due for call in self._calls)], default=None)

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Twilio learns and calls, beside whatever happens meanwhile."""
        over = threading.Event()

        def work() -> None:
            while not over.wait(_PAUSE_SECONDS):
                self.work()

        worker = threading.Thread(target=work)
        worker.start()
        try:
            yield
        finally:
            over.set()
            worker.join()

    def work(self) -> None:
        """Learn what Twilio learns by now, and make the calls that are due, in no order."""
        now = self._stack.now()
        entries = self._stack.twilio.ledger.entries()
        for entry in entries[self._seen_count :]:
            number, nth = self._number_of[entry.body], self._messages[entry.body]
            self._messages[entry.body] += 1
            if stages := journey(self._seed, number, nth):
                self._open[entry.sid] = (entry.accepted_at, stages, f"{number}/{nth}")
        self._seen_count = len(entries)
        for sid, (accepted_at, stages, name) in list(self._open.items()):
            while stages and accepted_at + stages[0][0] <= now:
                after, status, code = stages.pop(0)
                self._learn(sid, accepted_at + after, (status, code), name, now)
            if not stages:
                del self._open[sid]
        due = [call for call in self._calls if call.due <= now]
        self._calls = [call for call in self._calls if call.due > now]
        self._calls += [
            again
            for call in sorted(due, key=lambda call: call.lot)
            if (again := self._make(call))
        ]

    def _learn(
        self,
        sid: str,
        at: datetime,
        report: tuple[str, int | None],
        name: str,
        now: datetime,
    ) -> None:
        self._stack.twilio.report(sid, *report)
        self.reports[sid].append(ReportedStatus(at, *report))
        self.counts["callbacks: statuses"] += 1

        def lot(subject: str) -> float:
            return dice(self._seed, subject, name, report[0])

        if lot("lost") < _LOST:
            self.counts["callbacks: lost"] += 1
            return
        late = lot("late") < _LATE
        self.counts["callbacks: late"] += late
        call = _Call(
            now + timedelta(minutes=90) * lot("how late") * late,
            lot("order"),
            sid,
            report,
        )
        self._calls.append(call)
        if lot("repeated") < _REPEATED:
            self.counts["callbacks: repeated"] += 1
            later = call.due + timedelta(minutes=60) * lot("repeated when") * late
            self._calls.append(replace(call, due=later, lot=lot("again")))

    def _make(self, call: _Call) -> _Call | None:
        """Make one call; if no answer came, perhaps the same one later."""
        callback = self._stack.twilio.callback(call.sid, *call.report)
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
        if answer is None or answer.status_code >= 500:
            self.counts["callbacks: without an answer"] += 1
            again = dice(self._seed, "again", call.lot, call.nth) < _CALLED_AGAIN
            later = self._stack.now() + timedelta(minutes=10) * lot
            return replace(call, due=later, nth=call.nth + 1) if again else None
        reply = answer.text if answer.is_error else answer.json()
        early = (
            reply == "unknown_attempt" and values["attempt_id"] is None
        )  # its answer has not been kept yet
        if not early and reply not in ("settled", "recorded", "already_settled"):
            self.refused.append(
                f"settle_sms_attempt answered {answer.status_code} {reply}"
            )
        return None
