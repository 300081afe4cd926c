"""The branches of the one way through that a real database and a real Twilio cannot be made to take."""

import time
import traceback
from collections import Counter
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from smsretry import pipeline
from smsretry.errors import QueueError, QueueUnreachable, UnforeseenError
from smsretry.gate import Gate
from smsretry.pipeline import SEND_WITHIN_SECONDS, process_sms_retry_item
from smsretry.ports import RetryQueue, Sender
from smsretry.retry.models import Begun, Claim, ItemResult
from smsretry.retry.outcome import Accepted, InDoubt, NotSent, Outcome, Rejected
from smsretry.retry.profile import Profile
from smsretry.run import ItemError, process_due
from tests.unit.fakes import BODY, NOON, SID, FakeQueue, FakeSender

ClaimWith = Callable[..., Claim]

CLOSING = datetime.fromisoformat("2027-01-13T02:00:00+00:00")
"""21:00 in New York."""
LAST_HOLD = CLOSING - timedelta(seconds=60)
LAST_CALL = LAST_HOLD - timedelta(seconds=10)
AT_ONCE = Profile(opening_spread=timedelta(0))
"""Everything that waits for an opening is due at it."""
OPENING = datetime.fromisoformat("2027-01-13T13:00:00+00:00")
"""08:00 in New York."""


def test_the_fakes_are_what_the_pipeline_asks_for() -> None:
    """The type checker holds them to the ports; a claim that is due goes through them."""
    queue: RetryQueue = FakeQueue()
    sender: Sender = FakeSender()
    assert list(process_due(queue, sender, Gate(), limit=5)) == []


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
    assert ended["error"].startswith("Unforeseen KeyError at fakes.py:")
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
    assert result.detail.startswith("Unforeseen RuntimeError at fakes.py:")
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
    """Claimed at 20:58, it begins at 21:00: it waits for the morning and is not sent."""
    queue = FakeQueue(verdicts=[Begun(verdict="closed", reason=None, decided_at=CLOSING)])
    sender = FakeSender()
    result = process_sms_retry_item(
        claim_with(claimed_at=CLOSING - timedelta(minutes=2)), queue=queue, sender=sender, profile=AT_ONCE
    )
    assert (result.fate, result.next_at) == ("Deferred", OPENING)
    assert queue.told == [
        ("begin", {"send_before": LAST_CALL, "first_send": False}),
        ("defer", {"until": OPENING, "reason": "quiet_hours", "why": result.detail}),
    ]
    assert sender.texts == []


def test_a_text_that_waited_through_the_night_on_the_way_is_sent_in_the_new_window(claim_with: ClaimWith) -> None:
    """The second beginning carries the closing of the day it is made on."""
    queue = FakeQueue(verdicts=[Begun(verdict="closed", reason=None, decided_at=OPENING)])
    result = process_sms_retry_item(claim_with(), queue=queue, sender=FakeSender())
    assert result.fate == "Sent"
    assert [values["send_before"] for call, values in queue.told if call == "begin"] == [
        LAST_CALL,
        LAST_CALL + timedelta(days=1),
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
    results = list(process_due(queue, FakeSender(), Gate(), limit=10))
    assert [result.retry_id.int for result in results] == [11, 12, 13]
    assert [result.error.__class__ if isinstance(result, ItemError) else result.fate for result in results] == [
        "Sent",
        UnforeseenError,
        "Sent",
    ]


def test_the_due_ones_and_those_in_doubt_are_claimed_up_to_the_limit_each(claim_with: ClaimWith) -> None:
    """A heap of doubts does not keep the due ones waiting, nor they the doubts."""
    due = [claim_with(id=UUID(int=number)) for number in (11, 12, 13)]
    doubts = [claim_with(id=UUID(int=number), in_doubt_since=NOON, attempt_begun_at=NOON) for number in (21, 22, 23)]
    results = process_due(FakeQueue(claims=due, doubtful=doubts), FakeSender(), Gate(), limit=2)
    assert [(each.retry_id.int, each.fate) for each in results if isinstance(each, ItemResult)] == [
        (11, "Sent"),
        (12, "Sent"),
        (21, "InDoubt"),
        (22, "InDoubt"),
    ]


# The gate


def test_a_shut_gate_gives_a_text_back_untouched(claim_with: ClaimWith) -> None:
    """To the time it was due, with the reason it had, unsent; the run's reason is told."""
    gate, queue, sender = Gate(), FakeQueue(), FakeSender()
    gate.stop("This run was asked to stop")
    claim = claim_with()
    result = process_sms_retry_item(claim, queue=queue, sender=sender, gate=gate)
    assert (result.fate, result.detail, result.next_at) == ("GivenBack", "This run was asked to stop", None)
    assert queue.told == [("defer", {"until": claim.scheduled_for, "reason": None, "why": None})]
    assert sender.texts == []


def test_a_text_that_is_given_back_by_a_worker_that_lost_it_is_anothers(claim_with: ClaimWith) -> None:
    """Nothing was changed."""
    gate = Gate()
    gate.stop("Enough")
    queue = FakeQueue(holds=False)
    assert process_sms_retry_item(claim_with(), queue=queue, sender=FakeSender(), gate=gate).fate == "Lost"


def test_a_shut_gate_does_not_keep_evidence_from_being_looked_for(claim_with: ClaimWith) -> None:
    """A look sends nothing."""
    gate, sender = Gate(), FakeSender()
    gate.stop("Enough")
    claim = claim_with(in_doubt_since=NOON, attempt_begun_at=NOON)
    assert process_sms_retry_item(claim, queue=FakeQueue(), sender=sender, gate=gate).fate == "InDoubt"
    assert len(sender.looks) == 1


def test_a_refused_account_gives_the_rest_of_the_run_back_and_is_remembered(claim_with: ClaimWith) -> None:
    """With ten at once, at most ten texts learn of it, and none loses an attempt."""
    queue = FakeQueue(claims=[claim_with(id=UUID(int=number)) for number in range(40)])
    sender, gate = FakeSender(Rejected(20003, 401)), Gate()
    results = list(process_due(queue, sender, gate, limit=50))
    fates = [result.fate for result in results if isinstance(result, ItemResult)]
    assert fates.count("RetryScheduled") == len(sender.texts) <= 10
    assert fates.count("GivenBack") == 40 - len(sender.texts)
    assert queue.told[-1] == ("set_circuit", {"why": gate.circuit})
    assert gate.circuit is not None


# is the circuit open, what comes of the send, what the next run is told
CIRCUITS: list[tuple[bool, Outcome, list[bool]]] = [
    (False, Accepted(SID), []),
    (False, NotSent("Not reached"), []),
    (True, Accepted(SID), [False]),
    (True, Rejected(21211, 400), [False]),
    (True, NotSent("Not reached"), [True]),
    (True, InDoubt("No answer"), [True]),
    (True, Rejected(20429, 429), []),
    (False, Rejected(20003, 401), [True]),
]


@pytest.mark.parametrize(("is_open", "outcome", "told"), CIRCUITS, ids=str)
def test_a_run_tells_the_next_one_only_what_changed(
    claim_with: ClaimWith, is_open: bool, outcome: Outcome, told: list[bool]
) -> None:
    """A circuit is opened for a reason, closed by a text that was answered, and else left as it is."""
    queue = FakeQueue(claims=[claim_with(circuit_open=is_open)])
    list(process_due(queue, FakeSender(outcome), Gate(), limit=1))
    assert [values["why"] is not None for call, values in queue.told if call == "set_circuit"] == told


def test_while_the_circuit_is_open_one_text_goes_first_and_the_others_after_it(claim_with: ClaimWith) -> None:
    """The probe may be any of them: what is in quiet hours is none. What came too early is given back."""
    claims = [claim_with(id=UUID(int=n), circuit_open=True, claimed_at=CLOSING if n < 5 else NOON) for n in range(10)]
    sender = FakeSender(NotSent("Not reached"))
    results = list(process_due(FakeQueue(claims=claims), sender, Gate(), limit=10))
    fates = Counter(result.fate for result in results if isinstance(result, ItemResult))
    assert fates == {"Deferred": 5, "RetryScheduled": 1, "GivenBack": 4}
    assert len(sender.texts) == 1


@pytest.mark.parametrize("verdict", ["ended", "lost", "capped"])
def test_a_probe_that_did_not_begin_lets_the_next_text_be_it(claim_with: ClaimWith, verdict: Any) -> None:
    """Its customer had opted out, say; that tells nothing of Twilio."""
    gate = Gate()
    gate.probe()
    queue = FakeQueue(verdicts=[Begun(verdict=verdict, reason="Gone", decided_at=NOON)])
    fates = [process_sms_retry_item(claim_with(), queue=queue, sender=FakeSender(), gate=gate).fate for _ in range(3)]
    assert fates[1:] == ["Sent", "Sent"]


def test_a_probe_whose_beginning_failed_lets_the_next_text_be_it(claim_with: ClaimWith) -> None:
    """The database did not answer; that tells nothing of Twilio either."""
    gate = Gate()
    gate.probe()
    queue = FakeQueue(trouble={"begin": QueueUnreachable("no answer")})
    with pytest.raises(QueueUnreachable):
        process_sms_retry_item(claim_with(), queue=queue, sender=FakeSender(), gate=gate)
    assert process_sms_retry_item(claim_with(), queue=FakeQueue(), sender=FakeSender(), gate=gate).fate == "Sent"


def test_a_probe_that_never_came_to_a_send_leaves_the_circuit_open(claim_with: ClaimWith) -> None:
    """It was night; nothing was learned."""
    queue = FakeQueue(claims=[claim_with(circuit_open=True, claimed_at=CLOSING)])
    list(process_due(queue, FakeSender(), Gate(), limit=1))
    assert queue.calls == ["defer"]


# What Twilio is told


@pytest.mark.parametrize(
    ("expires_at", "decided_at", "valid_for"),
    [
        (NOON + timedelta(days=3), NOON, LAST_HOLD - NOON),
        (NOON + timedelta(days=3), NOON + timedelta(hours=2), LAST_HOLD - NOON - timedelta(hours=2)),
        (NOON + timedelta(hours=1), NOON, timedelta(hours=1)),
    ],
    ids=["to a minute before the closing", "from when it begins", "to its expiry"],
)
def test_twilio_may_keep_a_text_as_long_as_it_may_still_go_out(
    claim_with: ClaimWith, expires_at: datetime, decided_at: datetime, valid_for: timedelta
) -> None:
    """Counted from when the send began, by the database's clock."""
    queue = FakeQueue(verdicts=[Begun(verdict="go", reason=None, decided_at=decided_at)])
    sender = FakeSender()
    process_sms_retry_item(claim_with(expires_at=expires_at), queue=queue, sender=sender)
    assert [text.valid_for for text in sender.texts] == [valid_for]


# A process that was stopped


@pytest.mark.parametrize(
    ("seconds", "fate"),
    [(0.0, "Sent"), (SEND_WITHIN_SECONDS, "Sent"), (SEND_WITHIN_SECONDS + 0.1, "RetryScheduled")],
)
def test_a_text_leaves_within_fifteen_seconds_of_asking_to_begin_or_not_at_all(
    claim_with: ClaimWith, monkeypatch: pytest.MonkeyPatch, seconds: float, fate: str
) -> None:
    """Later, another worker may have the row: nothing was sent, which is certain, and costs no attempt."""
    stopwatch = iter([1000.0, 1000.0 + seconds])
    monkeypatch.setattr("smsretry.pipeline._stopwatch", lambda: next(stopwatch))
    queue, sender = FakeQueue(), FakeSender()
    assert process_sms_retry_item(claim_with(), queue=queue, sender=sender).fate == fate
    assert len(sender.texts) == (1 if fate == "Sent" else 0)
    assert queue.told[-1][1]["outcome"] == ("accepted" if fate == "Sent" else "not_sent")


def test_each_beginning_has_its_own_fifteen_seconds(claim_with: ClaimWith, monkeypatch: pytest.MonkeyPatch) -> None:
    """A window that closed on the way does not use up the next one's."""
    stopwatch = iter([0.0, 60.0, 61.0])
    monkeypatch.setattr("smsretry.pipeline._stopwatch", lambda: next(stopwatch))
    queue = FakeQueue(verdicts=[Begun(verdict="closed", reason=None, decided_at=OPENING)])
    assert process_sms_retry_item(claim_with(), queue=queue, sender=FakeSender()).fate == "Sent"


def test_the_stopwatch_goes_on_while_the_machine_sleeps() -> None:
    """CLOCK_BOOTTIME does; CLOCK_MONOTONIC does not, so a lease could run out unseen."""
    if hasattr(time, "CLOCK_BOOTTIME"):
        before = time.clock_gettime(time.CLOCK_BOOTTIME)
        assert before <= pipeline._stopwatch() <= time.clock_gettime(time.CLOCK_BOOTTIME)


# A report that came first


def test_a_send_without_an_answer_that_twilio_has_reported_is_sent(claim_with: ClaimWith) -> None:
    """The callback was faster than the time-out."""
    sender = FakeSender(InDoubt("No answer"))
    result = process_sms_retry_item(claim_with(), queue=FakeQueue(reported=True), sender=sender)
    assert (result.fate, result.detail) == ("Sent", "Reported by Twilio to the status callback")
