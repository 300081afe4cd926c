"""What one run came to, in numbers, for the run history and the command line."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, Self, TypeAlias, get_args

from smsretry.retry.answers import Recovered
from smsretry.retry.delivery import DeliveryReport, OpenDelivery
from smsretry.retry.models import ItemResult, Value
from smsretry.vocabulary import Fate

COUNTED_AS: Final[dict[Fate, str]] = {
    "Sent": "sent",
    "Deferred": "deferred",
    "Held": "held",
    "RetryScheduled": "retrying",
    "InDoubt": "in doubt",
    "Failed": "failed",
    "Cancelled": "cancelled",
    "GivenBack": "given back",
    "ClaimLost": "claim lost",
    "Error": "errored",
}
"""The number of a run's summary that counts each fate."""
_MOST_NAMED: Final = 3
"""Stopped senders that one line names."""
_TURN_RED: Final = 2
"""So many businesses whose senders have stopped turn a run red that sent nothing: one alone never keeps runs red."""


def numbers(counts: Mapping[Any, int], order: Sequence[str]) -> str:
    """Such as `12 queued · 1 cancelled`: those that are not 0."""
    return " · ".join(f"{counts[name]} {name}" for name in order if counts[name])


class Stopped(Value):
    """Trouble that outlasts a run. The next run tries it with one text."""

    what: str
    """A sender, by the name of a business that it texts for; or `sending`."""
    why: str
    is_news: bool
    """Whether it worked before this run."""
    concerns_all: bool
    """Whether it is all sending, or the default sender. If not, other senders' texts go out."""
    businesses: int
    """How many had texts to go out from the sender in this run."""

    def __str__(self) -> str:
        return f"{self.what} ({self.why})"


class RunSummary(Value):
    """The numbers of one run, and whether somebody must look at it."""

    recovered: int
    """Rows taken back from silent workers. They are claimed like others once they are due."""
    recovered_in_doubt: int
    """How many of the recovered may have gone out: they are looked for first."""
    counts: dict[str, int]
    """The results of the claimed rows, by the words of `COUNTED_AS`: the numbers that are not 0. A later run recovers
    those of the errored ones whose state the database could not record."""
    duration_seconds: float = 0
    why_stopped: str | None = None
    """Why the run stopped sending before its end."""
    stopped: tuple[Stopped, ...] = ()
    database_broken: bool = False
    """The database could not be asked whether a text may go; the claims went back to the queue."""
    restored: str | None = None
    """The notice that the database was, or may have been, restored from a backup, and what follows."""
    texts_only: str | None = None
    """A restriction on who may be texted from here, such as `texts nobody`. None: everybody may."""

    @classmethod
    def of(
        cls,
        *,
        results: Sequence[ItemResult],
        recovered: Sequence[Recovered] = (),
        **details: Any,
    ) -> Self:
        """Count the results of a run.

        Args:
            details: the fields that are not counted.
        """
        fates = Counter(result.fate for result in results)
        return cls(
            recovered=len(recovered),
            recovered_in_doubt=sum(row.in_doubt_since is not None for row in recovered),
            counts={
                name: fates[fate] for fate, name in COUNTED_AS.items() if fates[fate]
            },
            **details,
        )

    @property
    def claimed(self) -> int:
        """How many rows were claimed."""
        return sum(self.counts.values())

    @property
    def idle(self) -> bool:
        """Whether there was nothing to do."""
        return not (self.claimed or self.recovered or self.needs_attention)

    @property
    def needs_attention(self) -> bool:
        """Whether the database was or may be restored, a row's processing went wrong, or sending stopped for all.

        One business's stopped sender leaves the run green: the business may take weeks to mend it, and by then nobody
        would look at a red run any more.
        """
        stopped_businesses = sum(stop.businesses for stop in self.stopped)
        return (
            "errored" in self.counts
            or self.restored is not None
            or self.database_broken
            or any(stop.concerns_all for stop in self.stopped)
            or ("sent" not in self.counts and stopped_businesses >= _TURN_RED)
        )

    @property
    def stopped_senders(self) -> list[Stopped]:
        """Businesses' own senders that have stopped, for trouble of their own."""
        return [stop for stop in self.stopped if not stop.concerns_all]

    def __str__(self) -> str:
        return ". ".join(sentence.rstrip(".") for sentence in self._sentences())

    def _sentences(self) -> Iterator[str]:
        """What matters first; then how many texts it took, and what they came to."""
        if self.texts_only:
            yield f"This installation {self.texts_only}"
        if self.restored:
            yield self.restored
        if self.why_stopped:
            yield f"Stopped sending: {self.why_stopped}"
        if senders := self.stopped_senders:
            names = ", ".join(map(str, senders[:_MOST_NAMED]))
            remaining = len(senders) - _MOST_NAMED
            others = f", and {remaining} more" if remaining > 0 else ""
            yield f"Stopped senders: {names}{others}"
        if self.recovered:
            doubtful = self.recovered_in_doubt
            some = f" ({doubtful} in doubt)" if doubtful else ""
            yield f"Took {_texts(self.recovered)} back from silent workers{some}"
        results = ", ".join(f"{count} {name}" for name, count in self.counts.items())
        took = f"Took {_texts(self.claimed)} in {self.duration_seconds:.1f} s"
        yield f"{took}: {results}" if results else took


def _texts(count: int) -> str:
    return "1 text" if count == 1 else f"{count or 'no'} texts"


CameTo: TypeAlias = Literal[
    "delivered",
    "undelivered",
    "retried",
    "held",
    "on its way",
    "still undelivered",
    "unknown",
    "not at the provider",
    "not asked",
    "settled elsewhere",
    "error",
]
"""The result of one look.

undelivered: it did not arrive and is not sent again. retried: it did not arrive and is queued again. held: likewise,
and its sender must be mended. still undelivered: it was acted on before, and a late delivery would still count. not at
the provider: it has no such message. not asked: the provider did not say, or the database could not store it for now.
settled elsewhere: by a callback or another run, or it is too late to send it again.
"""


@dataclass(frozen=True, slots=True)
class FollowedUp:
    """A message that was looked up, and what followed."""

    message: OpenDelivery
    came_to: CameTo
    why: str
    report: DeliveryReport
    """The provider's word on it, now or before."""

    @property
    def code(self) -> int | None:
        """The provider's error code."""
        return self.report.refusal.code if self.report.refusal else None

    @property
    def blames_sender(self) -> bool:
        """Whether it did not arrive because of our account, our sender or our words."""
        return self.came_to in ("held", "undelivered") and self.report.blames_the_sender


@dataclass(frozen=True, slots=True)
class DeliverySummary:
    """The result of one run over open deliveries."""

    followed: Sequence[FollowedUp]
    why_stopped: str | None = None
    """Why no more were looked up: the database could not be asked, or the provider said nothing."""
    silent_accounts: tuple[str, ...] = ()
    """Accounts whose messages the provider said nothing about. The others' were looked up."""

    @property
    def counts(self) -> Counter[CameTo]:
        """How many messages came to each result."""
        return Counter(message.came_to for message in self.followed)

    @property
    def idle(self) -> bool:
        """Whether no delivery was open."""
        return not self.followed

    @property
    def needs_attention(self) -> bool:
        """Whether something is broken: a look failed, the provider never answered, or the database broke off."""
        counts = self.counts
        silent = counts["not asked"] == len(self.followed) > 0
        return counts["error"] > 0 or silent or self.why_stopped is not None

    @property
    def numbers(self) -> str:
        """Such as `12 delivered · 1 retried`."""
        return numbers(self.counts, get_args(CameTo))

    def __str__(self) -> str:
        stopped = f"Stopped: {self.why_stopped}" if self.why_stopped else ""
        silent = (
            f"No answer for {', '.join(self.silent_accounts)}"
            if self.silent_accounts and not stopped
            else ""
        )
        return (
            ". ".join(filter(None, (self.numbers, stopped, silent)))
            or "no delivery is open"
        )
