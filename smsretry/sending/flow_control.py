"""May another send begin? Five rules, which the threads of a run share.

1. Until somebody was answered, 3 sends of a business are under way at most, and 10 of the run; those that failed count.
   After 3 failures in a row nobody counts as answered.
2. A business whose sends fail 3 times in a row is put off while others' go out.
3. A sender stops when its account is refused for certain, or when 4 of its businesses (all, if it has fewer) fail and
   none goes out.
4. Everybody stops when 4 senders (all, if there are two or three) fail and nothing goes out.
5. What has stopped is tried with one text at a time, and a text that goes out lifts it. When the provider asks to go
   slower, the business's texts wait; if it asks two businesses, the sender's do, and then half as many are under way.

A failure is a request that reached nobody, or got no clear answer; for a business also a refusal of the account that
may concern its destinations alone. Any other answer counts as success: the provider, or the sender, works.
"""

import threading
import time
from collections import Counter
from collections.abc import Callable, Hashable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from math import inf
from time import monotonic
from typing import Final, Generic, TypeVar, assert_never
from uuid import UUID

from smsretry.errors import QueueError
from smsretry.retry.answers import Begun
from smsretry.retry.before import troubled
from smsretry.retry.decision import GiveBack, PutOff
from smsretry.retry.models import Claim
from smsretry.retry.outcome import (
    Accepted,
    InDoubt,
    NotSent,
    Outcome,
    Refusal,
    Rejected,
)
from smsretry.retry.segments import segments
from smsretry.sending.ports import Batch
from smsretry.vocabulary import StopKind, WhyCode

IN_A_ROW: Final = 3
"""Failures in a row that stop a business, a sender, or everybody; and sends of a business that nobody has answered."""
AT_FIRST: Final = 10
"""Sends of a run that nobody has answered: an outage costs no more texts."""
SEVERAL: Final = 4
"""Businesses, or senders, that must fail before it is the trouble of what they share. 10 sends are of as many."""
PATIENCE_SECONDS: Final = 3.0
"""How long a text waits for its business or its sender. Then it goes back, and leaves its thread to another's."""
RUN_PATIENCE_SECONDS: Final = 60.0
"""How long it waits for the run: longer than a send takes."""
SLOWER_SECONDS: Final = 1.0
"""How long a sender waits when the provider asks to go slower and does not say how long. Its limits are per second."""
LOOK_UP_SECONDS: Final = 0.5
"""How often a waiting thread checks: a signal that stops the run cannot wake it."""
_OTHERS_FIRST: Final = "It waits for other texts of its business or sender, and leaves its place to others meanwhile"
_FAILING: Final = "Texts of this business came to nothing ({}), others go out: one of them is tried each time"
_REFUSED: Final = "The account is refused, not the text: {}"
_STOPPED: Final = (
    "Sending does not work: {}. The provider's status page and the network tell more"
)
K = TypeVar("K", bound=Hashable)
Stop = tuple[StopKind, str]
ALL_SENDING: Final[Stop] = ("everybody", "")
Tell = Callable[[StopKind, str, str | None], None]


class Failures(Generic[K]):
    """Failures in a row: of each group (businesses of a sender, or senders), and of all since the last success."""

    def __init__(self) -> None:
        self.of: Final = Counter[K]()
        self.in_a_row = 0
        self._failing = set[K]()

    def failed(self, group: K) -> None:
        self.of[group] += 1
        self.in_a_row += 1
        self._failing.add(group)

    def succeeded(self, group: K) -> None:
        self.of.pop(group, None)
        self.in_a_row = 0
        self._failing.clear()

    def are_of_all(self, groups: int) -> bool:
        """Whether nothing goes well, of several groups, or of all that there are."""
        return self.in_a_row >= IN_A_ROW and len(self._failing) >= min(SEVERAL, groups)


@dataclass(slots=True, eq=False)
class _Sender:
    """What the run knows of one sender."""

    id: UUID | None
    """None: that of the environment, if the database knows none."""
    failures: Failures[UUID] = field(default_factory=Failures)
    """By business."""
    businesses: set[UUID] = field(default_factory=set)
    """Whose texts the run has claimed of it."""
    stopped_because: str | None = None
    at_once: float = inf
    """How many sends may be under way since the provider asked to go slower."""
    waits_until: float = 0.0
    """Until when it waits because the provider asked, by `time.monotonic`."""
    slowed: dict[UUID, float] = field(default_factory=dict)
    """Likewise its businesses."""
    free_at: float = 0.0
    """When its next text may leave, by its rate."""


class FlowControl:
    """One per run; shared by its threads."""

    def __init__(self, tell: Tell = lambda *_: None) -> None:
        """Prepare.

        Args:
            tell: tells the next run, and other machines, what has stopped; as a rule `RetryQueue.set_stop`.
        """
        # The only lock, and reentrant: a signal handler may stop the run while its own thread holds it.
        self._lock: Final = threading.Condition(threading.RLock())
        self._tell_next_run = tell
        self._is_telling = False
        """Whether a thread tells. It is one at a time, so that no lift is told before its stop."""
        self._in_flight = dict[UUID, Claim]()
        self._senders = dict[UUID | None, _Sender]()
        self._under_way = dict[UUID, Claim]()
        """Sends that were let in and have not ended, by text."""
        self._answered = set[UUID]()
        """Businesses of which a send was answered, since the last failures in a row."""
        self._failures = Failures[UUID | None]()
        """By sender."""
        self._database = Failures[UUID]()
        """Calls about texts that were not answered, by business."""
        self._trials = dict[Stop, UUID]()
        """What had stopped before this run, and the text that tries whether it works again."""
        self._full = set[str]()
        """Senders and businesses whose texts went back because too many of theirs are under way."""
        self._ahead = inf
        """By how much this process's clock is ahead of the database's, but for the time of the fastest answer."""
        self._news = list[tuple[Stop, str | None]]()
        """What is still to be told of stops."""
        self.lead = 0.0
        """Seconds that the last answer to a begin took: no text's turn comes sooner."""
        self.stopped = dict[Stop, str]()
        """What does not work beyond this run, and why."""
        self.tried = set[Stop]()
        """What had stopped before this run, and was tried."""
        self.database_trouble: str | None = None
        """Why the database could not be asked. The next run asks again; nothing is remembered where nothing can be."""
        self.claims_one_by_one = False
        """Whether each claim brings one row: what goes back would come again, and keep others from it."""
        self.run_stopped_because: str | None = None
        """Why no further send of the run may begin."""

    # What was claimed

    def claimed(self, batch: Batch) -> None:
        """Take note of rows that were claimed, and of what had stopped of what they need."""
        with self._lock:
            for claim in batch.texts:
                self._in_flight[claim.id] = claim
                if claim.in_doubt_since is None:
                    self._sender(claim).businesses.add(claim.business_id)
                    self._trials |= {
                        stop: claim.id for stop in _needs(claim) if stop in batch.stops
                    }
            self.tried |= set(self._trials)

    def done(self, claim: Claim) -> None:
        """Take note that a row is in its next state."""
        with self._lock:
            if (
                self._in_flight.get(claim.id) is claim
            ):  # else it was given back, and has been claimed again
                del self._in_flight[claim.id]
            self._trials = {
                stop: text for stop, text in self._trials.items() if text != claim.id
            }
            self._lock.notify_all()

    def _sender(self, claim: Claim) -> _Sender:
        key = claim.sender.id
        if key not in self._senders:
            self._senders[key] = _Sender(key)
        return self._senders[key]

    @property
    def without(self) -> set[str]:
        """Senders and businesses, by id, of which nothing is to be claimed now."""
        with self._lock:
            now, senders = monotonic(), self._senders.values()
            waiting = {
                str(one.id) for one in senders if one.id and one.waits_until > now
            }
            waiting |= {
                str(business)
                for one in senders
                for business, until in one.slowed.items()
                if until > now
            }
            return (
                waiting
                | self._full
                | {subject for _, subject in [*self._trials, *self.stopped] if subject}
            )

    def wait_for_room(self, at_most: int, until: float) -> bool:
        """Wait until so few rows are in flight that others may be claimed. False: nothing more is to be claimed.

        Args:
            until: by `time.monotonic`.
        """
        with self._lock:
            while self.run_stopped_because is None and (now := monotonic()) < until:
                if len(self._in_flight) <= at_most and ALL_SENDING not in self._trials:
                    return True
                self._lock.wait(min(LOOK_UP_SECONDS, until - now))
            return False

    # Before a send

    def admit(self, claim: Claim) -> PutOff | None:
        """Let a send begin, or say why not. A send that was let in is followed by `observe`, or by `withdraw`."""
        began = monotonic()
        with self._lock:
            sender = self._sender(claim)
            while not (put_off := self._put_off(sender, claim)):
                waits_for = self._waits_for(sender, claim)
                if waits_for is None:
                    self._under_way[claim.id] = claim
                    return None
                if monotonic() > began + (
                    PATIENCE_SECONDS if waits_for else RUN_PATIENCE_SECONDS
                ):
                    self._full.add(waits_for)
                    return self._back(claim, _OTHERS_FIRST, "others_first")
                self._lock.wait(LOOK_UP_SECONDS)
            return put_off

    def _put_off(self, sender: _Sender, claim: Claim) -> PutOff | None:
        """Where the text waits if sending has stopped, or for trouble of its own business."""
        if why := self.run_stopped_because:
            return GiveBack(why, "sending_stopped")
        if why := sender.stopped_because:
            return self._back(claim, why, "sending_stopped")
        if why := self.stopped.get(_business(claim)):
            return self._back(claim, why, "business_trouble")
        if self._database.of[claim.business_id] >= IN_A_ROW:
            return troubled(claim, self.database_trouble or "")
        if (
            max(sender.waits_until, sender.slowed.get(claim.business_id, 0.0))
            > monotonic() + PATIENCE_SECONDS
        ):
            return self._back(claim, "The provider asks to go slower", "rate_limited")
        return None

    def _back(self, claim: Claim, why: str, why_code: WhyCode) -> PutOff:
        return (
            troubled(claim, why, why_code)
            if self.claims_one_by_one
            else GiveBack(why, why_code)
        )

    def _waits_for(self, sender: _Sender, claim: Claim) -> str | None:
        """Which business or sender has too many sends under way, by id; '': the run. None: it may begin."""
        business, now = claim.business_id, monotonic()
        if (
            not self._answered
            and len(self._under_way) + self._failures.in_a_row >= AT_FIRST
        ):
            return ""
        if business not in self._answered:
            under_way = sum(
                each.business_id == business for each in self._under_way.values()
            )
            if under_way + sender.failures.of[business] >= IN_A_ROW:
                return str(business)
        if sender.slowed.get(business, 0.0) > now:
            return str(business)
        return (
            str(sender.id)
            if sender.waits_until > now or self._under_way_of(sender) >= sender.at_once
            else None
        )

    def _under_way_of(self, sender: _Sender) -> int:
        return sum(claim.sender.id == sender.id for claim in self._under_way.values())

    def wait_for_turn(self, claim: Claim, begun: Begun) -> None:
        """Wait until the text may leave, by its sender's rate: two seconds at most, if nothing here is late.

        The database gives each text its turn, at one rate for all machines. Texts whose turns have passed, because
        answers took unequally long, keep their distance all the same.
        """
        with self._lock:
            self._ahead = min(self._ahead, monotonic() - begun.decided_at.timestamp())
            leaves = (
                begun.reached_at.timestamp() + self._ahead if begun.reached_at else 0.0
            )
            if per_second := claim.sender.segments_per_second:
                sender = self._sender(claim)
                leaves = max(leaves, sender.free_at, monotonic())
                sender.free_at = leaves + segments(claim.body or "") / per_second
        time.sleep(max(leaves - monotonic(), 0))

    # After it

    def withdraw(self, claim: Claim) -> None:
        """The send did not begin, whether it was let in or not."""
        with self._lock:
            self._ended(claim)

    def observe(self, claim: Claim, outcome: Outcome) -> float | None:
        """Learn from what became of a send. Returns for how many seconds the provider asks its sender to wait."""
        slower = None
        with self._lock:
            sender = self._sender(claim)
            self._ended(claim)
            match outcome:
                case Accepted():
                    self._succeeded(sender, claim)
                case Rejected(refusal, retry_after):
                    slower = self._refused(sender, claim, refusal, retry_after)
                case NotSent(why) | InDoubt(why):
                    self._failures.failed(sender.id)
                    self._failed(sender, claim, why)
                    senders = sum(1 for one in self._senders.values() if one.businesses)
                    of_all = senders > 1 and self._failures.are_of_all(senders)
                    if of_all or self._tries(claim, ALL_SENDING):
                        self._stop(ALL_SENDING, _STOPPED.format(why))
                        self.stop(_STOPPED.format(why))
                case _:
                    assert_never(outcome)
            if self._failures.in_a_row >= IN_A_ROW:
                self._answered.clear()
        self._tell()
        return slower

    def _ended(self, claim: Claim) -> None:
        self._under_way.pop(claim.id, None)
        self._full -= {subject for _, subject in _needs(claim)}
        self._lock.notify_all()

    def _succeeded(self, sender: _Sender, claim: Claim) -> None:
        """The provider took it, or refused it for its own sake. Whatever had stopped works again."""
        self._failures.succeeded(sender.id)
        sender.failures.succeeded(claim.business_id)
        sender.at_once += (
            1 / sender.at_once
        )  # one more for each full round of texts taken
        self._answered.add(claim.business_id)
        sender.stopped_because = None
        self._lift(_needs(claim))

    def _lift(self, stops: Iterable[Stop]) -> None:
        for stop in stops:
            if stop in self._trials or stop in self.stopped:
                self._trials.pop(stop, None)
                self.stopped.pop(stop, None)
                self._news.append((stop, None))

    def _refused(
        self,
        sender: _Sender,
        claim: Claim,
        refusal: Refusal,
        retry_after: timedelta | None,
    ) -> float | None:
        if (
            refusal.kind not in ("account_refused", "rate_limited")
            or refusal.level == "recipient"
        ):
            self._succeeded(sender, claim)
            return None
        self._failures.succeeded(sender.id)  # the provider is there
        self._lift([ALL_SENDING])
        if refusal.kind == "account_refused":
            if refusal.certain:
                self._stop_sender(sender, _REFUSED.format(refusal.advice))
            else:
                self._business_failed(sender, claim, refusal.text)
            return None
        now = monotonic()
        seconds = max(
            retry_after.total_seconds() if retry_after else 0.0, SLOWER_SECONDS
        )
        sender.slowed = {
            one: until for one, until in sender.slowed.items() if until > now
        }
        sender.slowed[claim.business_id] = now + seconds
        if len(sender.slowed) < min(2, len(sender.businesses)):
            return None  # it may be this business's recipients alone
        is_same_burst = sender.waits_until > now  # which was answered by waiting
        sender.waits_until = max(sender.waits_until, now + seconds)
        if is_same_burst:
            return None
        sender.at_once = max(1, min(sender.at_once, self._under_way_of(sender) + 1) / 2)
        return seconds

    def _failed(self, sender: _Sender, claim: Claim, why: str) -> None:
        """The sender's send came to nothing. That of a business which is known to fail proves nothing of the sender."""
        if not self._tries(claim, _business(claim)):
            sender.failures.failed(claim.business_id)
            if sender.failures.are_of_all(len(sender.businesses)):
                self._stop_sender(sender, _STOPPED.format(why))
        self._business_failed(sender, claim, why, counted=True)

    def _business_failed(
        self, sender: _Sender, claim: Claim, why: str, *, counted: bool = False
    ) -> None:
        sender.failures.of[claim.business_id] += 0 if counted else 1
        if self._tries(claim, _of_sender(sender)):  # and it does not work yet
            self._stop_sender(sender, _STOPPED.format(why))
        if sender.failures.of[claim.business_id] >= IN_A_ROW or self._tries(
            claim, _business(claim)
        ):
            self._stop(_business(claim), _FAILING.format(why))

    def _tries(self, claim: Claim, stop: Stop) -> bool:
        return self._trials.get(stop) == claim.id

    def _stop_sender(self, sender: _Sender, why: str) -> None:
        sender.stopped_because = sender.stopped_because or why
        self._stop(_of_sender(sender), sender.stopped_because)

    def _stop(self, stop: Stop, why: str) -> None:
        if stop == ("sender", "None"):
            self.stop(why)  # it has no name by which a claim could leave it out
        elif stop not in self.stopped:
            self.stopped[stop] = why
            self._news.append((stop, why))
        self._lock.notify_all()

    def _tell(self) -> None:
        """Tell the next run, and other machines. If they cannot be told, they find out by themselves."""
        while True:
            with self._lock:
                if self._is_telling or not self._news:
                    return
                (kind, subject), why = self._news.pop(0)
                self._is_telling = True
            try:
                with suppress(QueueError):
                    self._tell_next_run(kind, subject, why)
            finally:
                self._is_telling = False

    def database_failed(self, claim: Claim, why: str) -> None:
        """The database could not be asked whether this text may go; a person must mend that.

        No further send begins once that is so for every business of the run. Until then it may be this row's trouble
        alone.
        """
        with self._lock:
            self.database_trouble = self.database_trouble or why
            self._database.failed(claim.business_id)
            if self._database.are_of_all(
                len({each.business_id for each in self._in_flight.values()})
            ):
                self.stop(why)

    def database_answered(self, claim: Claim, seconds: float) -> None:
        """The database could be asked about this text, which took so long."""
        with self._lock:
            self._database.succeeded(claim.business_id)
            self.lead = seconds

    # The run

    def businesses_of(self, sender: str) -> int:
        """How many businesses had texts to go out from this sender, by its id, in this run."""
        with self._lock:
            return sum(
                len(one.businesses)
                for one in self._senders.values()
                if str(one.id) == sender
            )

    def stop(self, why: str) -> None:
        """Let no further send begin. The reason ends with this run."""
        with self._lock:
            self.run_stopped_because = self.run_stopped_because or why
            self._lock.notify_all()

    def wait(self, seconds: float) -> None:
        """Wait so long, or until the run is stopped."""
        with self._lock:
            self._lock.wait_for(lambda: self.run_stopped_because, seconds)


def _needs(claim: Claim) -> list[Stop]:
    """What must not have stopped, or else this text is the one that tries it."""
    own: list[Stop] = [("sender", str(claim.sender.id))] if claim.sender.id else []
    return [ALL_SENDING, *own, _business(claim)]


def _business(claim: Claim) -> Stop:
    return "business", str(claim.business_id)


def _of_sender(sender: _Sender) -> Stop:
    return "sender", str(sender.id)
