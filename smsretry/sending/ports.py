"""What sending needs from the outside: the queue and a provider. Requests cross over as values."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Protocol
from uuid import UUID

from smsretry.retry.answers import (
    BeginAnswer,
    EarlierRun,
    Finished,
    InterruptedRun,
    Queued,
    Recovered,
    Scheduled,
    ScheduledSend,
)
from smsretry.retry.decision import AfterLook, AfterSend, NoSend, Send
from smsretry.retry.delivery import AfterDelivery, DeliveryReport, OpenDelivery
from smsretry.retry.models import Claim, Finding, ItemResult, Look, SenderId, Text
from smsretry.retry.outcome import Outcome
from smsretry.retry.profile import Audience, Profile
from smsretry.vocabulary import DeliveryStatus, Followed, Reconciled, StopKind


@dataclass(frozen=True, slots=True)
class Batch:
    """The answer to one claim."""

    texts: Sequence[Claim] = ()
    stops: Collection[tuple[StopKind, str]] = ()
    """Stops that concern these texts: each is tried with one of them. The subject is an id; '' for everybody."""
    next_in: float | None = None
    """Seconds until something else is due that may be claimed. None: nothing is known to be."""
    slow: UUID | None = None
    """The business whose row took all the time of a claim of one, so that nothing was claimed."""
    refused: str | None = None
    """The database's error, if it refused every row that is due."""


class RetryQueue(Protocol):
    """The queue, as an environment with its sender and its audience works with it.

    Each call is one transaction, and raises `QueueError` when it could not be made.
    """

    # One run

    def start_run(
        self,
        run_id: UUID,
        stale_minutes: int,
        earlier: Sequence[EarlierRun] = (),
    ) -> list[InterruptedRun]:
        """Begin a run, and return earlier ones that fell silent and were not reported yet.

        The default sender is known from then on.

        Args:
            earlier: the last runs that the database accepted. A forgotten one is returned.
        """

    def recover(self, stale_minutes: int) -> list[Recovered]:
        """Take back the rows whose worker has been silent for this many minutes."""

    def claim_texts(
        self,
        limit: int,
        *,
        room: Mapping[str, int] = MappingProxyType({}),
        slow: Collection[UUID] = (),
        suspect: bool = False,
    ) -> Batch:
        """Take charge of up to `limit` due rows, and of as many in doubt whose next look has come.

        Who was served longest ago goes first, and of each sender about half a second's worth is taken.

        Args:
            room: the most texts that are to be claimed now, by the id of a sender or, if it is 0, of a business.
            slow: businesses of which nothing is to be claimed, and nothing in doubt either.
            suspect: instead of them one row whose claims have died more than once, which is claimed alone.

        Raises:
            QueueCancelled: the database was too slow for so many.
        """

    def set_stop(self, kind: StopKind, subject: str, reason: str | None) -> None:
        """Remember for the next runs that something does not work, or with None that it works again.

        Args:
            subject: the sender's or the business's id; '' for everybody.
        """

    def finish_run(self, run_id: UUID, summary: str, *, needs_attention: bool) -> None:
        """End a run, and store its summary."""

    # One claimed row on its way. Each call names its claim number; the answer says whether the claim held.

    def begin(
        self,
        claim: Claim,
        attempt_id: UUID,
        decision: Send,
        *,
        first_send: bool = False,
        run_id: UUID | None = None,
        answer_seconds: float = 0.0,
    ) -> BeginAnswer:
        """Ask whether the request may leave. What will be sent is stored with the attempt.

        Args:
            answer_seconds: until the answer is here, as a rule: its slot of the sender comes no sooner.

        Raises:
            QueueBusy: another transaction holds locked what its send needs.
        """

    def finish(
        self, claim: Claim, attempt_id: UUID, outcome: Outcome, decision: AfterSend
    ) -> Finished:
        """Record what became of the send, and where the row goes."""

    def act_on(self, claim: Claim, decision: NoSend) -> bool:
        """Act on a decision made before any send, or by what an earlier message came to. False: the claim was lost."""

    def reconcile(self, claim: Claim, decision: AfterLook) -> Reconciled:
        """Act on the result of a look for a text in doubt."""

    def slow_down(self, sender: SenderId, seconds: float) -> None:
        """Let nothing more of this sender's leave for so long, whoever sends it."""

    # How texts enter

    def queue(self, **text: object) -> Queued:
        """Queue a retry; a text that has a live row keeps that one. `queue_sms_retry` says what the values mean."""

    def claim_one(self, retry_id: UUID) -> Claim | ItemResult | None:
        """Take charge of this row. A result: what became of it, because it cannot be read. None: somebody has it."""

    def schedule(self, **text: object) -> Scheduled:
        """Plan a text for a time. `schedule_sms` says what the values mean; `id` is its scheduled id."""

    def queue_scheduled(
        self, limit: int, ahead: timedelta, *, without: Collection[UUID] = ()
    ) -> list[ScheduledSend]:
        """Make the texts of scheduled sends whose time comes within `ahead`. Fewer than `limit`: there are no more.

        Args:
            without: those that could not be changed just now.
        """

    # What became of accepted texts

    def claim_deliveries(
        self, limit: int, *, without: Collection[str] = ()
    ) -> list[OpenDelivery]:
        """Take charge of messages whose delivery is open, business by business in turns.

        Args:
            without: accounts whose messages stay as they are. '' is that of the environment, if a message names none.
        """

    def follow(
        self, message: OpenDelivery, report: DeliveryReport, decision: AfterDelivery
    ) -> Followed:
        """Keep a report, and act on what was decided from it."""


class Provider(Protocol):
    """All that smsretry needs of a provider of text messages. Another one is another adapter of this shape."""

    @property
    def audience(self) -> Audience:
        """The people it texts. It makes no request for a text to anybody else."""

    @property
    def default(self) -> SenderId:
        """The default sender."""

    def credentials_problem(self, account: str) -> str | None:
        """Why no request can be made for this account here, and what to do. None: there are credentials for it."""

    def send(self, text: Text) -> Outcome:
        """Make exactly one request. Whatever happens comes back as an outcome."""

    def look_up(
        self, phone: str, *, sender: SenderId, since: datetime, at: datetime
    ) -> Look | None:
        """Messages from that sender to this number. None: the list could not be read, and nothing says why.

        Args:
            sender: what it was sent from.
            since: how far back the list must reach at least.
            at: the database's clock now, against which the provider's is measured.
        """

    def fetch_report(self, sid: str, *, account: str | None) -> DeliveryReport:
        """How far a message of this account has come.

        Args:
            account: None: that of the environment. A message that another account keeps is never called not kept.
        """

    def read_report(self, status: DeliveryStatus, code: int | None) -> DeliveryReport:
        """What a callback said of a message, with what its code means."""

    # What people and the doctor ask

    def check(self) -> list[Finding]:
        """Do the credentials work, and does the account own the default sender? Sends nothing."""

    def check_sender(self, sender: SenderId) -> list[Finding]:
        """The same of a business's own sender, and is it registered, so far as that can be read?

        It may be called from several threads.
        """

    def clock(self) -> datetime | None:
        """The provider's clock in its last answer to this thread. None: it does not tell."""


@dataclass(frozen=True, slots=True)
class Services:
    """The tools of a run."""

    queue: RetryQueue
    provider: Provider
    profile: Profile
    concurrency: int = 50
    """The most sends that a run has under way at the provider."""
