"""One queue, everybody who uses it, and a worker that comes by every simulated minute."""

import json
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from pydantic import SecretStr

from smsretry.adapters.supabase.queue import SupabaseQueue
from smsretry.adapters.twilio.sender import TwilioSender
from smsretry.errors import QueueCancelled, QueueError, QueueSlow, QueueUnreachable
from smsretry.local.stack import Stack
from smsretry.retry.answers import Begun, Finished
from smsretry.retry.models import Claim
from smsretry.retry.profile import DEFAULT
from smsretry.sending.ports import Services
from smsretry.sending.requests import Begin, Finish
from smsretry.sending.run import CLAIM_SIZE, ItemFailed, Run, run_once
from smsretry.settings import Settings
from tests.proofs.neighbors.texts import Connection, Text, new_id, open_business, write

NOON_IN_NEW_YORK: Final = datetime.fromisoformat("2027-01-12T17:00:00+00:00")
MINUTE: Final = timedelta(minutes=1)
LIMIT: Final = 100
"""Texts of a run, so that businesses come to compete for them."""
TIMEOUT_SECONDS: Final = 15.0
"""How long the worker waits for an answer of the database. The database gives up much earlier, and says so."""


class Neighbor:
    """Somebody who uses the queue. Each does one kind of harm, in a business of its own."""

    name = ""
    twilio_seconds = 30.0
    """How long the worker waits for an answer of Twilio's at most, as long as it is there."""

    def move_in(self, street: "Street") -> None:
        """Write what it has when the run begins."""

    def minute(self, street: "Street", n: int) -> None:
        """Do something before the worker comes by in minute `n`."""

    def between(self, street: "Street", claim: Claim, moment: str) -> None:
        """Do something while a worker holds a row: `begin` or `finish` comes next."""

    def kills(self, street: "Street", claims: Sequence[Claim], n: int) -> str | None:
        """Whether the worker dies with these claims, and of what."""
        return None

    def move_out(self, street: "Street") -> None:
        """Undo what outlasts a run."""


class WorkerDied(BaseException):
    """The process is gone: nothing of it is caught, and nothing is tidied up."""


@dataclass
class Street:
    """A run of the proof."""

    stack: Stack
    connection: Connection
    neighbors: Sequence[Neighbor]
    minutes: int
    seed: str
    stale: int = 10
    timeout_seconds: float = TIMEOUT_SECONDS
    limit: int = LIMIT
    start: datetime = NOON_IN_NEW_YORK
    texts: list[Text] = field(default_factory=list)
    minute: int = 0
    excused: dict[UUID, datetime] = field(default_factory=dict)
    """Texts whose worker died or whose claim was lost: when their lease ends."""
    outages: list[tuple[datetime, datetime]] = field(default_factory=list)
    """Spans in which the database let nobody send."""
    counts: Counter[str] = field(default_factory=Counter)
    losses: Counter[UUID] = field(default_factory=Counter)
    """How often a text's claim was lost."""
    bugs: list[str] = field(default_factory=list)
    unanswered: list[str] = field(default_factory=list)
    """Calls on which the worker gave up."""
    seconds: float = 0.0
    credentials: dict[str, str] = field(default_factory=dict)
    """The runner's, for accounts that are no subaccounts."""

    @property
    def busy(self) -> int:
        """Until this minute there is trouble; then it must come right by itself."""
        return self.minutes // 2

    @property
    def now(self) -> datetime:
        """The full minute that it is."""
        return self.start + self.minute * MINUTE

    def text(self, owner: str, n: int, due: float, **more: Any) -> Text:
        """A text of a neighbor, due at that minute."""
        known: dict[str, Any] = {
            "business_id": new_id(self.seed, "business", owner),
            "customer_id": new_id(self.seed, "customer", owner, n),
            "phone": f"+1212555{len(self.texts) % 10_000:04}",
            "body": f"Text {n:04} of {owner}, run {self.seed}",
        }
        text = Text(
            owner=owner,
            send_log_id=new_id(self.seed, "log", owner, n),
            retry_id=new_id(self.seed, "retry", owner, n),
            due_at=self.start + due * MINUTE,
            **known | more,
        )
        self.texts.append(text)
        return text

    def move_in(self, owner: str, texts: Iterable[Text], **business: Any) -> None:
        """Open a neighbor's business and write its texts."""
        open_business(self.connection, new_id(self.seed, "business", owner), **business)
        write(self.connection, texts)

    def live(self) -> None:
        """Let the time go by."""
        started = time.monotonic()
        with ExitStack() as stack:
            queue = stack.enter_context(_Queue(self.settings, self))
            for neighbor in self.neighbors:
                stack.callback(neighbor.move_out, self)
                neighbor.move_in(self)
            for minute in range(self.minutes):
                self.minute = minute
                self.stack.set_clock(self.now)
                for neighbor in self.neighbors:
                    neighbor.minute(self, minute)
                with TwilioSender(self.settings) as sender:
                    self.work(Services(queue, sender, DEFAULT))
        self.seconds = time.monotonic() - started

    @property
    def settings(self) -> Settings:
        """As each run reads them."""
        listed = {account: {"auth_token": token} for account, token in self.credentials.items()}
        more = {"twilio_accounts": SecretStr(json.dumps(listed)), "supabase_timeout_seconds": self.timeout_seconds}
        more["twilio_read_timeout_seconds"] = min(neighbor.twilio_seconds for neighbor in self.neighbors)
        return self.stack.settings().model_copy(update=more)

    def work(self, services: Services) -> None:
        """One run of the worker, from claim to report."""
        self.counts["runs"] += 1
        try:
            items, summary = run_once(_Run(services, self), limit=self.limit, stale_minutes=self.stale)
        except WorkerDied as death:
            self.counts["workers killed"] += 1
            if death.args[0] == "bad luck":
                self.excuse_the_claimed()
            if death.args[0] == "its first time alone":
                self.excuse_the_suspects()
            return
        except QueueUnreachable:
            self.counts["runs whose claim was lost"] += 1
            self.excuse_the_claimed()
            return
        except QueueError as error:
            self.bugs.append(f"A run ended with {type(error).__name__}: {error}")
            return
        self.counts["runs that stopped sending"] += summary.stopped_because is not None
        for item in items:
            if isinstance(item, ItemFailed):
                self.bugs.append(item.why)
            else:
                self.counts[f"  {item.fate}"] += 1

    def excuse_the_claimed(self, *, more: timedelta = timedelta(0)) -> None:
        """Whoever was claimed in this minute waits until its lease ends, and nobody can help that."""
        rows = self.connection.execute(
            "select id, claimed_at from sms_retry_queue where status = 'processing' and claimed_at >= %s", [self.now]
        )
        for row in rows.fetchall():
            self.losses[row["id"]] += 1
            alone = max(self.losses[row["id"]] - 2, 0)  # it is under suspicion by then, and tried ever less often
            until = row["claimed_at"] + (self.stale + alone) * MINUTE + more
            before = self.excused.get(row["id"], until)
            if before > until:  # in doubt: a look for it was lost, and comes once more after its lease
                until = before + (self.stale + 2) * MINUTE
            self.excused[row["id"]] = until

    def excuse_the_suspects(self) -> None:
        """Others are under suspicion with the row that killed this run. Of equals, nobody knows which one it is."""
        for row_id, until in self.excused.items():
            if self.losses[row_id] > 1 and until <= self.now:
                self.excused[row_id] = self.now + MINUTE


class _Run(Run):
    """The real run, in a process that may die when it has claimed."""

    def __init__(self, services: Services, street: Street) -> None:
        super().__init__(services)
        self._street = street

    def claim(self, limit: int = CLAIM_SIZE) -> list[Claim]:
        claims = super().claim(limit)
        self._live_on(claims)
        return claims

    def suspects(self) -> Iterator[Claim]:
        for claim in super().suspects():
            self._live_on([claim])
            yield claim

    def _live_on(self, claims: Sequence[Claim]) -> None:
        for neighbor in self._street.neighbors:
            if cause := neighbor.kills(self._street, claims, self._street.minute):
                raise WorkerDied(cause)


class _Queue(SupabaseQueue):
    """The real adapter, with others at work in the same rows between its calls."""

    def __init__(self, settings: Settings, street: Street) -> None:
        super().__init__(settings)
        self._street = street

    def _once(self, function: str, values: Mapping[str, object]) -> Any:
        try:
            return super()._once(function, values)
        except QueueSlow as error:
            if not isinstance(error, QueueCancelled):  # that is an answer
                self._street.unanswered.append(f"in minute {self._street.minute}: {error}")
            raise

    def begin(self, request: Begin) -> Begun:
        self._between(request.claim, "begin")
        return super().begin(request)

    def finish(self, request: Finish) -> Finished:
        self._between(request.claim, "finish")
        return super().finish(request)

    def _between(self, claim: Claim, moment: str) -> None:
        for neighbor in self._street.neighbors:
            neighbor.between(self._street, claim, moment)


def live(
    stack: Stack,
    neighbors: Sequence[Neighbor],
    *,
    minutes: int,
    seed: str,
    stale: int = 10,
    timeout_seconds: float = TIMEOUT_SECONDS,
    limit: int = LIMIT,
) -> Street:
    """Let these neighbors share a queue for so many minutes. The street's connection is the caller's to close."""
    stack.set_clock(NOON_IN_NEW_YORK)
    street = Street(stack, stack.connect(), neighbors, minutes, seed, stale, timeout_seconds, limit)
    street.live()
    return street
