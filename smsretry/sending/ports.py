"""What the story needs from the outside: a queue, by who calls it, and a sender. Requests cross over as values."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol
from uuid import UUID

from smsretry.retry.answers import Begun, Finished, InterruptedRun, Lease, Queued, Recovered, Scheduled, ScheduledSend
from smsretry.retry.decision import AfterLook, Arrived, PutOff
from smsretry.retry.delivery import AfterDelivery, OpenDelivery, Report, Word
from smsretry.retry.models import Claim, Finding, ItemResult, Look, Text
from smsretry.retry.outcome import Outcome
from smsretry.retry.profile import Profile
from smsretry.sending.requests import Begin, Finish, QueueText, ScheduleText
from smsretry.vocabulary import DeliveryStatus, Followed, Reconciled


class Runs(Protocol):
    """For a run's beginning and its end."""

    def start_run(self, run_id: UUID, stale_minutes: int) -> list[InterruptedRun]:
        """A run begins. The answer: the earlier ones that fell silent and were not told of yet."""
        ...

    def recover(self, stale_minutes: int) -> list[Recovered]:
        """Take back the rows whose worker has been silent for so long."""
        ...

    def set_circuit(self, why: str | None, *, sender: str = "", businesses: Collection[UUID] | None = None) -> None:
        """Remember for the next run that sending does not work, or with None that it works again.

        Args:
            sender: whose circuit it is.
            businesses: those whose texts alone come to nothing; None: everybody's do.
        """
        ...

    def finish_run(self, run_id: UUID, told: str, *, needs_somebody: bool) -> None:
        """The run is over, and this is what it came to."""
        ...


class Claims(Protocol):
    """For whoever looks for work."""

    def claim_due(self, limit: int) -> list[Claim]:
        """Take charge of up to `limit` due rows, business by business in turns."""
        ...

    def claim_doubtful(self, limit: int) -> list[Claim]:
        """Take charge of up to `limit` rows in doubt whose next look has come."""
        ...

    def claim_suspect(self) -> list[Claim]:
        """Take charge of one row whose claims have died more than once. It is claimed alone."""
        ...

    def next_due(self) -> float | None:
        """In how many seconds a text, or a look for one in doubt, is due: 0 if one is. None: none waits."""
        ...


class ClaimedTexts(Protocol):
    """For the way of one claimed row. Each call names its claim number, and is told whether the claim still held."""

    def begin(self, request: Begin) -> Begun:
        """Ask whether the request may leave.

        Raises:
            QueueBusy: another transaction holds the customer locked.
        """
        ...

    def finish(self, request: Finish) -> Finished:
        """Record what became of the send, and where the row goes."""
        ...

    def put_off(self, claim: Claim, decision: PutOff) -> bool:
        """Act on a decision made before any send. False: the claim was lost."""
        ...

    def arrived(self, claim: Claim, decision: Arrived) -> bool:
        """Record that a message which was called lost has arrived: the row is completed.

        False: the claim was lost, and nothing is recorded.
        """
        ...

    def reconcile(self, claim: Claim, decision: AfterLook) -> Reconciled:
        """Act on what a look for a text in doubt came to."""
        ...


class Entry(Protocol):
    """For the application, whose texts enter here."""

    def queue(self, request: QueueText) -> Queued:
        """Queue a retry; a text that has a live row keeps that one."""
        ...

    def schedule(self, request: ScheduleText) -> Scheduled:
        """Plan a text for a time."""
        ...


class FirstSends(Entry, ClaimedTexts, Protocol):
    """For a text's first send, which goes through the queue at once."""

    def claim_one(self, retry_id: UUID) -> Claim | ItemResult | None:
        """Take charge of this row. A result: it could not be read, and that came of it. None: it is not to be had."""
        ...


class ScheduledSends(Protocol):
    """For the run that queues planned texts."""

    def queue_scheduled(self, limit: int, ahead: timedelta) -> list[ScheduledSend]:
        """Make the texts of scheduled sends whose time comes within `ahead`. Fewer than `limit`: there are no more."""
        ...


class SenderTime(Protocol):
    """For the rate limit: the sender's time, which all workers share."""

    def lease(self, sender: str, segments: int, per_second: float, lead: float) -> Lease:
        """Take so many segments of the sender's time, `lead` seconds from now at the soonest.

        No segments: take nothing, and tell the database's clock.
        """
        ...


class RetryQueue(Runs, Claims, SenderTime, ScheduledSends, FirstSends, Protocol):
    """All of the queue. Each call is one transaction, and raises `QueueError` when it could not be made."""


class Sender(Protocol):
    """A provider of text messages."""

    def send(self, text: Text) -> Outcome:
        """Make exactly one request. Whatever happens comes back as an outcome."""
        ...

    @property
    def sent_by(self) -> str:
        """The sender that texts go out from now: the name of a messaging service or a number of ours."""
        ...

    def look_up(self, phone: str, *, sent_by: str | None, since: datetime, at: datetime) -> Look | None:
        """Messages from that sender to this number. None: the list could not be had.

        Args:
            sent_by: whom they came from; None: from any sender of ours.
            since: how far back the list must reach at least.
            at: the database's clock now, against which the provider's is measured.
        """
        ...

    def what_became_of(self, sid: str) -> Word:
        """Of a message that was called lost."""
        ...


class DeliveryRecords(Protocol):
    """The SQL functions that keep what became of accepted texts."""

    def claim_deliveries(self, limit: int) -> list[OpenDelivery]:
        """Take charge of messages whose delivery is open, business by business in turns."""
        ...

    def follow(self, message: OpenDelivery, report: Report | None, decision: AfterDelivery) -> Followed:
        """Keep a report, and act on what was decided from it."""
        ...


class DeliveryReports(Protocol):
    """A provider that tells how far a message has come."""

    def what_became_of(self, sid: str) -> Word: ...

    def reported(self, status: DeliveryStatus, code: int | None) -> Report:
        """What a callback said of a message, with what its code means."""
        ...


class Provider(Sender, DeliveryReports, Protocol):
    """All that smsretry asks of a provider. Another one is another adapter of this shape."""

    def check(self) -> list[Finding]:
        """Do the credentials work, and does the account own the sender? Sends nothing."""
        ...


@dataclass(frozen=True, slots=True)
class DeliveryServices:
    """What a look after deliveries works with."""

    records: DeliveryRecords
    reports: DeliveryReports
    profile: Profile
    concurrency: int = 10
    """Messages asked for at once."""


@dataclass(frozen=True, slots=True)
class Services:
    """What a run works with."""

    queue: RetryQueue
    sender: Sender
    profile: Profile
    concurrency: int = 50
    """Rows of one run processed at once, and so requests to the provider under way."""
