"""The branches of the one way through that a real database and a real Twilio cannot be made to take."""

import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal
from uuid import UUID

import pytest

from smsretry.errors import QueueError, QueueUnreachable, UnforeseenError
from smsretry.models import Begun, Claim, Finished, NextStatus, OutcomeName, Queued, Reason, Recovered, Text
from smsretry.outcome import Accepted, InDoubt, NotSent, Outcome, Rejected
from smsretry.pipeline import ItemError, process_due, process_sms_retry_item
from smsretry.ports import RetryQueue, Sender

ClaimWith = Callable[..., Claim]

NOON = datetime.fromisoformat("2027-01-12T17:00:00+00:00")
"""In New York."""
CLOSING = datetime.fromisoformat("2027-01-13T02:00:00+00:00")
"""21:00 in New York."""
OPENING = datetime.fromisoformat("2027-01-13T13:00:00+00:00")
"""08:00 in New York."""
SID = "SM" + "0123456789abcdef" * 2
BODY = "Hi Ann, thanks for visiting Maple Street Dental."


@dataclass
class FakeQueue:
    """A queue that keeps what it was told and answers as it was set up to."""

    claims: list[Claim] = field(default_factory=list)
    verdicts: list[Begun] = field(default_factory=list)
    """What `begin` answers, one after the other; go when there is none."""
    holds: bool = True
    """Whether claims still hold."""
    trouble: dict[str, Exception] = field(default_factory=dict)
    """What a call raises, by its name."""
    told: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    def _note(self, call: str, **values: Any) -> None:
        self.told.append((call, values))
        if call in self.trouble:
            raise self.trouble[call]

    def recover(self, stale_minutes: int) -> list[Recovered]:
        return []

    def claim_due(self, limit: int) -> list[Claim]:
        return self.claims[:limit]

    def claim_one(self, retry_id: UUID) -> Claim | None:
        return next((claim for claim in self.claims if claim.id == retry_id), None)

    def queue(
        self,
        send_log_id: UUID,
        *,
        reason: Reason | None,
        attempt_count: int,
        scheduled_for: datetime | None,
        retry_in: timedelta,
        error: str | None,
    ) -> Queued:
        return Queued(retry_id=UUID(int=1), result="queued", due_at=NOON)

    def begin(self, claim: Claim, attempt_id: UUID, *, send_before: datetime, rule: str, first_send: bool) -> Begun:
        self._note("begin", send_before=send_before, first_send=first_send)
        return self.verdicts.pop(0) if self.verdicts else Begun(verdict="go", reason=None, decided_at=NOON)

    def finish(
        self,
        claim: Claim,
        attempt_id: UUID,
        *,
        outcome: OutcomeName,
        next_status: NextStatus,
        error: str | None = None,
        code: int | None = None,
        sid: str | None = None,
        retry_in: timedelta | None = None,
        reason: Reason | None = None,
        counted: bool = True,
    ) -> Finished:
        self._note("finish", outcome=outcome, next_status=next_status, error=error, sid=sid)
        return Finished(applied=self.holds, status=next_status, scheduled_for=NOON)

    def defer(self, claim: Claim, *, until: datetime, reason: Reason) -> bool:
        self._note("defer", until=until, reason=reason)
        return self.holds

    def end(self, claim: Claim, *, status: Literal["failed", "cancelled"], error: str) -> bool:
        self._note("end", status=status, error=error)
        return self.holds

    @property
    def calls(self) -> list[str]:
        """The names of the calls, in order."""
        return [call for call, _ in self.told]


@dataclass
class FakeSender:
    """A sender that comes to the given outcome, or raises it."""

    comes_to: Outcome | Exception = field(default_factory=lambda: Accepted(SID))
    texts: list[Text] = field(default_factory=list)

    def send(self, text: Text) -> Outcome:
        self.texts.append(text)
        if isinstance(self.comes_to, Exception):
            raise self.comes_to
        return self.comes_to


def test_the_fakes_are_what_the_pipeline_asks_for() -> None:
    """The type checker holds them to the ports; a claim that is due goes through them."""
    queue: RetryQueue = FakeQueue()
    sender: Sender = FakeSender()
    assert list(process_due(queue, sender, limit=5)) == []


# Unforeseen errors before the send

QUOTES = [
    pytest.param("+12125550123", id="E.164"),
    pytest.param("12125550123", id="without the plus"),
    pytest.param("(212) 555-0123", id="with brackets"),
    pytest.param("212-555-0123", id="with dashes"),
    pytest.param("+1 212 555 0123", id="with spaces"),
    pytest.param("212.555.0123", id="with dots"),
    pytest.param(BODY, id="the body"),
    pytest.param(f"to=+12125550123 body={BODY!r}", id="both"),
]


@pytest.mark.parametrize("quote", QUOTES)
def test_an_unforeseen_error_fails_its_row_and_quotes_nobody(claim_with: ClaimWith, quote: str) -> None:
    """The row ends with kind and place; a message that quotes number or body goes nowhere."""
    queue, sender = FakeQueue(trouble={"begin": KeyError(f"no such thing: {quote}!")}), FakeSender()
    with pytest.raises(UnforeseenError) as raised:
        process_sms_retry_item(claim_with(), queue=queue, sender=sender)

    assert queue.calls == ["begin", "end"]
    assert sender.texts == []
    ended = queue.told[-1][1]
    assert ended["status"] == "failed"
    assert ended["error"].startswith("Unforeseen KeyError at test_pipeline.py:")
    assert ended["error"].endswith("(its message is withheld: it quotes the customer)")
    assert str(raised.value) == f"Row {UUID(int=1)}: {ended['error']}"
    everything = "".join(traceback.format_exception(raised.value))
    for private in (quote, BODY, "2125550123", "555-0123", "555 0123", "555.0123", "Maple Street"):
        assert private not in ended["error"]
        assert private not in everything


def test_an_unforeseen_error_does_not_carry_the_original_along(claim_with: ClaimWith) -> None:
    """Prefect stores a whole chain of exceptions, so there is no chain."""
    with pytest.raises(UnforeseenError) as raised:
        process_sms_retry_item(claim_with(), queue=FakeQueue(trouble={"begin": ValueError()}), sender=FakeSender())
    assert (raised.value.__cause__, raised.value.__context__) == (None, None)


@pytest.mark.parametrize(
    "message",
    [
        pytest.param("'Hi Ann,\\nthanks for visiting Maple Street.'", id="escaped, as in KeyError(body)"),
        pytest.param("input_value='Hi Ann,\\nthanks for visi...'", id="cut short, as by pydantic"),
    ],
)
def test_an_unforeseen_error_quotes_no_part_of_a_body_of_several_lines(claim_with: ClaimWith, message: str) -> None:
    """An error shows a text as Python writes it, or its beginning and end."""
    queue = FakeQueue(trouble={"begin": ValueError(message)})
    claim = claim_with(body="Hi Ann,\nthanks for visiting Maple Street.")
    with pytest.raises(UnforeseenError) as raised:
        process_sms_retry_item(claim, queue=queue, sender=FakeSender())
    assert "Hi Ann" not in str(raised.value)


def test_the_message_of_an_unforeseen_error_is_kept_short(claim_with: ClaimWith) -> None:
    """It is stored in a column and shown in a list."""
    queue = FakeQueue(trouble={"begin": ValueError("long " * 1000)})
    with pytest.raises(UnforeseenError):
        process_sms_retry_item(claim_with(), queue=queue, sender=FakeSender())
    assert len(queue.told[-1][1]["error"]) == 500


# Errors of the queue


@pytest.mark.parametrize(
    ("call", "at", "made"),
    [
        ("begin", NOON, ["begin"]),
        ("finish", NOON, ["begin", "finish"]),
        ("defer", CLOSING, ["defer"]),
    ],
)
def test_an_error_of_the_queue_passes_through_as_it_is(
    claim_with: ClaimWith, call: str, at: datetime, made: list[str]
) -> None:
    """The row keeps its state until recovery takes it back; nothing more is asked of the queue."""
    trouble = QueueUnreachable("Supabase did not answer")
    queue = FakeQueue(trouble={call: trouble})
    with pytest.raises(QueueError) as raised:
        process_sms_retry_item(claim_with(claimed_at=at), queue=queue, sender=FakeSender())
    assert raised.value is trouble
    assert queue.calls == made


def test_a_queue_that_fails_while_a_row_is_failed_is_what_is_told(claim_with: ClaimWith) -> None:
    """Even then the unforeseen error, which may quote the customer, is not carried along."""
    trouble = QueueUnreachable("Supabase did not answer")
    queue = FakeQueue(trouble={"begin": ValueError("+12125550123"), "end": trouble})
    with pytest.raises(QueueUnreachable) as raised:
        process_sms_retry_item(claim_with(), queue=queue, sender=FakeSender())
    assert raised.value is trouble
    assert (raised.value.__cause__, raised.value.__context__) == (None, None)


# Errors of the sender


def test_a_sender_that_raises_leaves_its_text_in_doubt(claim_with: ClaimWith) -> None:
    """The request may have left; the row is finished as in doubt, with kind and place and without the number."""
    queue, sender = FakeQueue(), FakeSender(RuntimeError(f"failed for +12125550123: {BODY}"))
    result = process_sms_retry_item(claim_with(), queue=queue, sender=sender)
    assert result.fate == "InDoubt"
    assert result.detail.startswith("Unforeseen RuntimeError at test_pipeline.py:")
    assert result.detail.endswith("(its message is withheld: it quotes the customer)")
    assert queue.told[-1] == (
        "finish",
        {"outcome": "in_doubt", "next_status": "pending", "error": result.detail, "sid": None},
    )


# Lost claims


@pytest.mark.parametrize(
    "outcome",
    [Accepted(SID), Rejected(30003, 400), Rejected(21211, 400), NotSent("Not reached"), InDoubt("No answer")],
    ids=lambda outcome: type(outcome).__name__,
)
def test_a_worker_that_lost_its_claim_during_the_send_says_so(claim_with: ClaimWith, outcome: Outcome) -> None:
    """Whatever became of the request, the row is another's."""
    result = process_sms_retry_item(claim_with(), queue=FakeQueue(holds=False), sender=FakeSender(outcome))
    assert (result.fate, result.next_at, result.code) == ("Lost", None, None)
    assert result.detail == "The claim was lost: another worker has the row, nothing was changed"


@pytest.mark.parametrize(
    ("changes", "call"),
    [({"claimed_at": CLOSING}, "defer"), ({"phone": None}, "end")],
    ids=["deferring", "ending"],
)
def test_a_worker_that_lost_its_claim_before_the_send_says_so(
    claim_with: ClaimWith, changes: dict[str, Any], call: str
) -> None:
    """It sends nothing."""
    queue, sender = FakeQueue(holds=False), FakeSender()
    assert process_sms_retry_item(claim_with(**changes), queue=queue, sender=sender).fate == "Lost"
    assert (queue.calls, sender.texts) == ([call], [])


# A window that closes on the way


def test_a_text_whose_window_closed_on_the_way_is_decided_anew_by_the_databases_clock(claim_with: ClaimWith) -> None:
    """Claimed at 20:59, it begins at 21:00: it waits for the morning and is not sent."""
    queue = FakeQueue(verdicts=[Begun(verdict="closed", reason=None, decided_at=CLOSING)])
    sender = FakeSender()
    result = process_sms_retry_item(claim_with(claimed_at=CLOSING - timedelta(minutes=1)), queue=queue, sender=sender)
    assert (result.fate, result.next_at) == ("Deferred", OPENING)
    assert queue.told == [
        ("begin", {"send_before": CLOSING, "first_send": False}),
        ("defer", {"until": OPENING, "reason": "quiet_hours"}),
    ]
    assert sender.texts == []


def test_a_text_that_waited_through_the_night_on_the_way_is_sent_in_the_new_window(claim_with: ClaimWith) -> None:
    """The second beginning carries the closing of the day it is made on."""
    queue = FakeQueue(verdicts=[Begun(verdict="closed", reason=None, decided_at=OPENING)])
    result = process_sms_retry_item(claim_with(), queue=queue, sender=FakeSender())
    assert result.fate == "Sent"
    assert [values["send_before"] for call, values in queue.told if call == "begin"] == [
        CLOSING,
        CLOSING + timedelta(days=1),
    ]


# Several rows


def test_one_bad_row_does_not_stop_the_others(claim_with: ClaimWith) -> None:
    """Each row has its own result, in order; the bad one has its error."""

    class FailsForOne(FakeQueue):
        def begin(self, claim: Claim, attempt_id: UUID, **values: Any) -> Begun:
            if claim.id == UUID(int=12):
                raise ValueError("a bug")
            return super().begin(claim, attempt_id, **values)

    queue = FailsForOne(claims=[claim_with(id=UUID(int=number)) for number in (11, 12, 13)])
    results = list(process_due(queue, FakeSender(), limit=10))
    assert [result.retry_id.int for result in results] == [11, 12, 13]
    assert [result.error.__class__ if isinstance(result, ItemError) else result.fate for result in results] == [
        "Sent",
        UnforeseenError,
        "Sent",
    ]
