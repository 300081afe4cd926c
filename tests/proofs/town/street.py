"""One queue, everybody who uses it, and a worker that comes by every simulated minute."""

import time
from collections import Counter, defaultdict
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from datetime import datetime, timedelta
from typing import Any, Final, Literal, TypeAlias
from uuid import UUID

from smsretry.adapters.supabase.queue import SupabaseQueue
from smsretry.adapters.twilio.provider import TwilioProvider
from smsretry.errors import QueueCancelled, QueueError, QueueSlow, QueueUnreachable
from smsretry.local.stack import Stack
from smsretry.local.twilio.faults import SendFault
from smsretry.retry.answers import BeginAnswer, Finished
from smsretry.retry.models import Claim, ItemResult
from smsretry.retry.profile import DEFAULT, Profile
from smsretry.sending.ports import Services
from smsretry.sending.run import CLAIM_SIZE, Run, run_once
from smsretry.settings import Settings
from smsretry.testing.stack import NOON
from tests.proofs.town.luck import new_id
from tests.proofs.town.senders import Senders
from tests.proofs.town.texts import (
    NEW_YORK,
    Text,
    new_text,
    open_business,
    write,
)
from tests.support.records import Connection
from tests.support.senders import OwnSender

MINUTE = timedelta(minutes=1)
WELL_BEHAVED = "well-behaved"
LIMIT = 100
"""Texts of a run, so that businesses come to compete for them."""
TIMEOUT_SECONDS = 15.0
"""How long the worker waits for an answer of the database. The database gives up much earlier, and says so."""
Life: TypeAlias = Generator[None, None, None]
Neighbor: TypeAlias = Callable[["Street"], Life | None]
"""Somebody who uses the queue, and does one kind of harm, in a business of its own. What it does up to its first
`yield` it does when it moves in; every further step comes a minute later, before the worker does. It is closed when all
is over."""


class WorkerDied(BaseException):
    """The process is gone: nothing of it is caught, and nothing is tidied up."""


class Street:
    """A run of a proof on an empty stack, from a start on."""

    def __init__(
        self,
        stack: Stack,
        neighbors: Sequence[Neighbor],
        *,
        minutes: int,
        seed: str,
        start: datetime = NOON,
        stale: int = 10,
        limit: int = LIMIT,
        profile: Profile = DEFAULT,
    ) -> None:
        stack.set_clock(start)
        self.stack, self.seed, self.minutes, self.stale, self.start = (
            stack,
            seed,
            minutes,
            stale,
            start,
        )
        self.connection: Final[Connection] = stack.connect()
        self.senders = Senders(stack, seed)
        self.texts: Final[list[Text]] = []
        self.counts = Counter[str]()
        self.minute = -1
        self.lost_claims = defaultdict[UUID, list[tuple[datetime, datetime]]](list)
        """A text's claims that came to nothing: when each was made, and until when nobody else may make one."""
        self.outages: Final[list[tuple[datetime, datetime]]] = []
        """Spans in which the database let nobody send, or whose run died for no reason that anybody could know."""
        self.bugs: Final[list[str]] = []
        self.unanswered: Final[list[str]] = []
        """Calls on which the worker gave up."""
        self.deaths: Final[list[Callable[[Sequence[Claim]], str | None]]] = []
        """Whatever kills a worker that has these claims, and of what it dies."""
        self.notes: Callable[[Sequence[ItemResult]], object] = lambda _: None
        """Is told what each run came to."""
        self.next_at: Callable[[], datetime | None] = lambda: self.now
        """When something happens next, if the time in between is to be left out; None: never more."""
        self.twilio_seconds = 30.0
        """How long the worker waits for an answer of Twilio's."""
        self.concurrency = 50
        """The worker's places at Twilio."""
        self._neighbors, self.limit, self._profile = neighbors, limit, profile
        self._losses = Counter[UUID]()
        """How often a text's claim was lost."""
        self._meanwhile = dict[tuple[UUID, str], Callable[[], object]]()

    @property
    def busy(self) -> int:
        """Until this minute there is trouble; then it must come right by itself."""
        return self.minutes // 2

    @property
    def now(self) -> datetime:
        """The full minute that it is."""
        return self.start + self.minute * MINUTE

    def until(self, minute: float) -> Life:
        """Wait until it is that minute."""
        while self.minute < int(minute):
            yield

    def tick(self) -> Generator[None, None, int]:
        """Wait for the next minute; its number."""
        yield
        return self.minute

    def meanwhile(
        self, text: Text, moment: Literal["begin", "finish"], act: Callable[[], object]
    ) -> None:
        """Do this when a worker that holds the text is about to begin its send, or to write what became of it."""
        self._meanwhile[text.retry_id, moment] = act

    def business(self, owner: str) -> UUID:
        """The id of the business of a neighbor."""
        return new_id(self.seed, "business", owner)

    def text(self, owner: str, due: float, **options: Any) -> Text:
        """A text of a neighbor, due at that minute."""
        number = len(self.texts)
        defaults = {"phone": f"+1212555{number % 10_000:04}", "may_end": ("completed",)}
        text = new_text(
            self.seed, owner, number, self.start + due * MINUTE, **defaults | options
        )
        self.texts.append(text)
        return text

    def meets(self, fault: SendFault, texts: Iterable[Text]) -> None:
        """Have each request for these texts come to this."""
        for text in texts:
            self.stack.twilio.fail(fault, to=text.phone, times=None)

    def move_in(
        self,
        owner: str,
        dues: Iterable[float],
        *,
        sender: OwnSender | None = None,
        **options: Any,
    ) -> list[Text]:
        """Open a neighbor's business with texts that are due at these minutes; they may have more in common."""
        texts = [self.text(owner, due, **options) for due in dues]
        self.open(owner, sender=sender)
        write(self.connection, texts)
        return texts

    def open(
        self,
        owner: str,
        *,
        zone: str | None = NEW_YORK,
        sender: OwnSender | None = None,
    ) -> UUID:
        """Open a neighbor's business."""
        business_id = self.business(owner)
        open_business(self.connection, business_id, zone)
        if sender:
            self.senders.move(business_id, sender)
        return business_id

    def live(self) -> None:
        """Let the time go by."""
        started = time.monotonic()
        with self.connection, ExitStack() as stack:
            queue = stack.enter_context(_Queue(self.settings, self))
            lives = [
                stack.enter_context(closing(life))
                for neighbor in self._neighbors
                if (life := neighbor(self))
            ]
            for life in lives:
                next(life, None)
            while (at := self.next_at()) and (
                minute := max(self.minute, (at - self.start) // MINUTE) + 1
            ) < self.minutes:
                self.minute = minute
                self.stack.set_clock(self.now)
                for life in lives:
                    next(life, None)
                with TwilioProvider(self.settings) as sender:
                    self._work(Services(queue, sender, self._profile, self.concurrency))
        self.counts["took, s"] = round(time.monotonic() - started)

    @property
    def settings(self) -> Settings:
        """As each run reads them."""
        seconds = {
            "supabase_timeout_seconds": TIMEOUT_SECONDS, "twilio_read_timeout_seconds": self.twilio_seconds,
        }  # fmt: skip
        return self.senders.settings(self.stack.settings()).model_copy(update=seconds)

    def _work(self, services: Services) -> None:
        """One run of the worker, from claim to report."""
        self.counts["runs"] += 1
        try:
            items, summary = run_once(
                _Run(services, self), limit=self.limit, stale_minutes=self.stale
            )
        except WorkerDied as death:
            self.counts["workers killed"] += 1
            if death.args[0] == "bad luck":
                self._note_lost_claims()
                self.outages.append((self.now, self.now + MINUTE))
            if death.args[0] == "its first time alone":
                self._note_the_suspects()
            return
        except QueueUnreachable:
            self.counts["runs whose claim was lost"] += 1
            self._note_lost_claims()
            return
        except QueueError as error:
            self.bugs.append(f"A run ended with {type(error).__name__}: {error}")
            return
        self.counts["runs that stopped sending"] += summary.why_stopped is not None
        self.bugs.extend(item.why for item in items if item.fate == "Error")
        results = [item for item in items if item.fate != "Error"]
        self.counts.update(f"  {item.fate}" for item in results)
        self.notes(results)

    def _note_lost_claims(self) -> None:
        """Whoever was claimed in this minute waits until its lease ends, and nobody can help that."""
        rows = self.connection.execute(
            "select id, claimed_at from sms_retry_queue where status = 'processing' and claimed_at >= %s",
            [self.now],
        )
        for row in rows.fetchall():
            self._losses[row["id"]] += 1
            alone = max(
                self._losses[row["id"]] - 2, 0
            )  # it is under suspicion by then, and tried ever less often
            until = row["claimed_at"] + (self.stale + alone) * MINUTE
            self.lost_claims[row["id"]].append((row["claimed_at"], until))

    def _note_the_suspects(self) -> None:
        """Others are under suspicion with the row that killed this run. Of equals, nobody knows which one it is."""
        for row_id, claims in self.lost_claims.items():
            if self._losses[row_id] > 1 and claims[-1][1] <= self.now:
                claims.append((self.now, self.now + MINUTE))


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
        for kills in self._street.deaths:
            if cause := kills(claims):
                raise WorkerDied(cause)


class _Queue(SupabaseQueue):
    """The real adapter, with others at work in the same rows between its calls."""

    def __init__(self, settings: Settings, street: Street) -> None:
        super().__init__(settings)
        self._street = street

    def _request(self, function: str, values: Mapping[str, object]) -> Any:
        try:
            return super()._request(function, values)
        except QueueSlow as error:
            if not isinstance(error, QueueCancelled):  # that is an answer
                self._street.unanswered.append(
                    f"in minute {self._street.minute}: {error}"
                )
            raise

    def begin(self, claim: Claim, *arguments: Any, **options: Any) -> BeginAnswer:
        self._act(claim, "begin")
        return super().begin(claim, *arguments, **options)

    def finish(self, claim: Claim, *arguments: Any) -> Finished:
        self._act(claim, "finish")
        return super().finish(claim, *arguments)

    def _act(self, claim: Claim, moment: str) -> None:
        if act := self._street._meanwhile.pop((claim.id, moment), None):
            act()
