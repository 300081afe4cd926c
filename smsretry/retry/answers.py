"""What the queue's functions answer. Frozen values."""

from typing import Literal
from uuid import UUID

from smsretry.instants import Instant, on_clock
from smsretry.retry.models import KnownCode, Value
from smsretry.vocabulary import ScheduledResult


class EarlierRun(Value):
    """A run whose start the database once accepted, as whoever makes the runs remembers it."""

    id: UUID
    due_at: Instant
    """When it was to begin."""
    finished: bool
    """Whether the database accepted its end, too."""


class InterruptedRun(Value):
    """An earlier run that never finished, and what its sends came to. It is reported once."""

    id: UUID
    started_at: Instant
    accepted: int
    in_doubt: int
    refused: int
    restored_since: Instant | None = None
    """The database has forgotten this run: it was restored, and has forgotten everything since then."""

    def __str__(self) -> str:
        if self.restored_since:
            return (
                f"The database was restored from a backup of about {on_clock(self.restored_since)}, and has forgotten "
                f"run {self.id}. Each older text is looked for before it may be sent: see 'Restore from a backup' in "
                "flows/PLAYBOOKS.md for the rest"
            )
        numbers = f"{self.accepted} accepted, {self.in_doubt} in doubt, {self.refused} refused or not sent"
        return (
            f"run {self.id} of {on_clock(self.started_at)} was interrupted: {numbers}"
        )


class Recovered(Value):
    """A row that `recover_stuck_sms_retries` took back from a silent worker, as it now is."""

    id: UUID
    in_doubt_since: Instant | None


class Queued(Value):
    """Answer of `queue_sms_retry`. `retry_id` is the live row; None: the text was already sent or given up."""

    retry_id: UUID | None
    result: Literal["queued", "already_queued", "already_sent", "attempts_exhausted"]
    due_at: Instant | None


class Scheduled(Value):
    """Answer of `schedule_sms`. `scheduled_id` names the scheduled send, and will name its send log."""

    scheduled_id: UUID
    result: Literal["scheduled", "already_scheduled"]
    due_at: Instant


class ScheduledSend(Value):
    """What became of one scheduled send whose time was near: a line of `queue_scheduled_sms`."""

    scheduled_id: UUID
    business_id: UUID
    customer_id: UUID | None
    result: ScheduledResult
    why: str | None
    retry_id: UUID | None
    """The row of its text in the queue."""
    why_code: KnownCode = None


class BeginAnswer(Value):
    """Answer of `begin_sms_attempt`: may the request leave?

    go: yes. claim_lost: another worker has the row. data_changed: something is not as the decision took it to be.
    run_unknown: the database does not know the run, and may have been restored under it. closed:
    `send_before` has come. daily_cap: the recipient has had all texts that a rule permits. sender_rate: its sender's
    slots are reserved for longer than a worker waits. day_spent: its sender has sent all that it may in a day. held:
    a person can mend what stands in its way. ended: the row is finished. `why` says the reason.
    """

    answer: Literal[
        "go",
        "claim_lost",
        "data_changed",
        "run_unknown",
        "closed",
        "daily_cap",
        "sender_rate",
        "day_spent",
        "held",
        "ended",
    ]
    why: str | None
    decided_at: Instant
    """The database's clock when it answered."""
    refused_since: Instant | None = None
    """Since when its sender is refused for what this text tries."""
    until: Instant | None = None
    """If it goes: when it leaves; None: now. Otherwise: when there is room again."""
    why_code: KnownCode = None


class Finished(Value):
    """Answer of `finish_sms_attempt`. `applied` is false when the claim was lost; then nothing was changed."""

    applied: bool
    status: str | None
    scheduled_for: Instant | None
