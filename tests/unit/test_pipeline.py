"""The branches of the one way through that a real database and a real provider cannot be made to take."""

import traceback
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any, Literal
from uuid import UUID

import pytest

from smsretry.errors import QueueUnreachable, UnforeseenError
from smsretry.retry.decision import Fail, Hold, Retry
from smsretry.retry.delivery import DeliveryReport
from smsretry.retry.models import ItemResult
from smsretry.retry.profile import SEND_WITHIN_SECONDS
from smsretry.sending.flow_control import ALL_SENDING, FlowControl
from smsretry.sending.pipeline import process_sms_retry_item
from smsretry.sending.ports import Batch
from tests.support.builders import (
    AT_ONCE,
    BODY,
    CLOSING,
    NOON,
    PHONE,
    SID,
    attempt,
    begun,
    claim_with,
)
from tests.support.records import Record
from tests.unit.fakes import FakeProvider, FakeQueue

LAST_HOLD = CLOSING - timedelta(seconds=60)
DOUBTED: Record = {
    "in_doubt_since": NOON,
    "attempt": attempt(),
}


def went(
    queue: FakeQueue,
    provider: FakeProvider | None = None,
    control: FlowControl | None = None,
    **row: Any,
) -> ItemResult:
    """A text goes its way, due at noon and with these columns."""
    return process_sms_retry_item(
        claim_with(**row),
        queue=queue,
        provider=provider or FakeProvider(),
        flow_control=control,
        profile=AT_ONCE,
    )


# Bugs, and a database that does not answer

ANN = "Hi Ann,\nthanks for visiting Maple Street."
QUOTES = (
    PHONE, "12125550123", "(212) 555-0123", "212-555-0123", "+1 212 555 0123", "212.555.0123", BODY,
    f"to={PHONE} body={BODY!r}",
    "'Hi Ann,\\nthanks for visiting Maple Street.'",  # escaped, as in KeyError(body)
    "input_value='Hi Ann,\\nthanks for visi...'",  # cut short, as by pydantic
)  # fmt: skip


def test_a_bug_fails_its_row_and_quotes_nobody() -> None:
    """The row ends with kind and place. Prefect stores a whole chain of exceptions, so there is no chain."""
    for quote in QUOTES:
        queue, sender = (
            FakeQueue(trouble={"begin": KeyError(f"{quote}! " + "long " * 500)}),
            FakeProvider(),
        )
        body = ANN if "Hi Ann" in quote else BODY
        with pytest.raises(UnforeseenError) as raised:
            went(queue, sender, body=body)
        assert (queue.calls, sender.texts) == (["begin", "act_on"], [])
        ended = queue.decisions[-1]
        assert isinstance(ended, Fail)
        assert ended.why.startswith("Unforeseen KeyError at fakes.py:")
        assert len(ended.why) <= 500
        assert (raised.value.__cause__, raised.value.__context__) == (None, None)
        everything = "".join(traceback.format_exception(raised.value))
        for private in (
            quote,
            BODY,
            "2125550123",
            "555-0123",
            "555 0123",
            "555.0123",
            "Maple Street",
            "Hi Ann",
        ):
            assert private not in everything
    stranger = KeyError("not to +44 20 7946 0958, but to 12 others")
    queue = FakeQueue(trouble={"begin": stranger})
    with pytest.raises(UnforeseenError):
        went(queue)
    assert "'not to …, but to 12 others'" in str(queue.decisions[-1])
    queue = FakeQueue(trouble={"begin": FileNotFoundError("zoneinfo/America/New_York")})
    with pytest.raises(UnforeseenError):
        went(queue)
    assert isinstance(queue.decisions[-1], Hold), (
        "a file that this machine lacks costs no text"
    )


def test_a_bug_while_a_text_is_sent_or_looked_for_leaves_it_in_doubt() -> None:
    """It may have gone out, so nothing says that it failed."""
    queue = FakeQueue()
    result = went(queue, FakeProvider(RuntimeError(f"failed for {PHONE}: {BODY}")))
    assert (result.fate, queue.calls) == ("InDoubt", ["begin", "finish"])
    assert result.why.startswith("Unforeseen RuntimeError at fakes.py:")
    assert PHONE not in result.why
    values: list[Record] = [
        {},
        {"phone": "+12125550199", "body": "Something else"},
    ]
    for now in values:
        queue = FakeQueue(
            trouble={"reconcile": ValueError(f"a bug for {PHONE}: {BODY}")}
        )
        with pytest.raises(UnforeseenError) as raised:
            went(queue, **DOUBTED, **now)
        assert queue.calls == ["reconcile"]
        assert BODY not in str(raised.value)
        assert PHONE[2:] not in str(raised.value)


def test_a_database_that_does_not_answer_is_reported_and_nothing_is_sent_without_it() -> (
    None
):
    """The row keeps its state until recovery takes it back. Not even then is a bug's message carried along."""
    away = QueueUnreachable("Supabase did not answer")
    cases: list[tuple[dict[str, Exception], datetime, list[str]]] = [
        ({"finish": away}, NOON, ["begin", "finish"]),
        ({"act_on": away}, CLOSING, ["act_on"]),
        ({"begin": away, "act_on": away}, NOON, ["begin", "act_on"]),
        ({"begin": ValueError(PHONE), "act_on": away}, NOON, ["begin", "act_on"]),
    ]
    for trouble, at, calls in cases:
        queue = FakeQueue(trouble=trouble)
        with pytest.raises(QueueUnreachable) as raised:
            went(queue, claimed_at=at)
        assert raised.value is away
        assert PHONE not in "".join(traceback.format_exception(raised.value))
        assert queue.calls == calls


# Claims that are lost, and texts that take long on the way


def test_a_worker_that_lost_its_claim_says_so() -> None:
    """Whether it sent the text or decided against it, the row is another's."""
    for changes, sends in (({}, 1), ({"claimed_at": CLOSING}, 0), ({"phone": None}, 0)):
        sender = FakeProvider()
        result = went(FakeQueue(holds=False), sender, **changes)
        assert (result.fate, len(sender.texts)) == ("ClaimLost", sends)


def test_a_text_leaves_within_fifteen_seconds_of_asking_or_not_at_all(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Later, another worker may have the row, and a lost message may have arrived. That nothing was sent is certain.

    A slow database and a process that was stopped look the same from here. The text goes on in the next run.
    """
    for seconds in (0.0, SEND_WITHIN_SECONDS, SEND_WITHIN_SECONDS + 0.1):
        stopwatch = iter([1000.0, 1000.0, 1000.0 + seconds])
        monkeypatch.setattr(
            "time.clock_gettime", lambda _, watch=stopwatch: next(watch)
        )  # goes on while suspended
        sender = FakeProvider(reports={SID: DeliveryReport("undelivered")})
        result = went(
            queue := FakeQueue(), sender, attempt_count=2, lost_messages=[{"sid": SID}]
        )
        in_time = seconds <= SEND_WITHIN_SECONDS
        assert (result.fate, len(sender.texts)) == (
            ("Sent", 1) if in_time else ("RetryScheduled", 0)
        )
    decided = queue.decisions[-1]
    assert isinstance(decided, Retry)
    assert (decided.counted, decided.reason, decided.due_in < timedelta(minutes=1)) == (
        False,
        None,
        True,
    )
    stopwatch = iter(
        [1000.0, 1000.1 + SEND_WITHIN_SECONDS]
    )  # the provider was slow to say what became of a message
    monkeypatch.setattr("time.clock_gettime", lambda _: next(stopwatch))
    result = went(
        queue := FakeQueue(), sender, attempt_count=2, lost_messages=[{"sid": SID}]
    )
    assert (result.fate, result.why_code, queue.calls) == (
        "Deferred",
        "unreachable",
        ["act_on"],
    )


def test_a_provider_may_keep_a_text_as_long_as_it_may_still_go_out() -> None:
    """To a minute before the closing or to its expiry, counted from when the send began by the database's clock."""
    hour, later = timedelta(hours=1), NOON + timedelta(days=3)
    for expires_at, decided_at, valid_for in (
        (later, NOON, LAST_HOLD - NOON),
        (later, NOON + 2 * hour, LAST_HOLD - NOON - 2 * hour),
        (NOON + hour, NOON, hour),
    ):
        went(
            FakeQueue(answers=[begun(at=decided_at)]),
            sender := FakeProvider(),
            expires_at=expires_at,
        )
        assert [text.valid_for for text in sender.texts] == [valid_for]


# What has stopped


def test_a_trial_that_did_not_begin_leaves_stopped_what_it_tried() -> None:
    """Its customer had opted out, say; that tells nothing of the provider. The next claim brings another one."""
    answers: tuple[
        Literal["ended", "claim_lost", "daily_cap", "data_changed", "sender_rate"], ...
    ]
    answers = ("ended", "claim_lost", "daily_cap", "data_changed", "sender_rate")
    for answer in answers:
        queue = FakeQueue(answers=[begun(answer, why="Gone")], stops={ALL_SENDING})
        control = FlowControl(queue.set_stop)
        control.note_claimed(Batch([claim_with()], [ALL_SENDING]))
        assert went(queue, control=control).fate != "Sent"
        assert queue.stops
        assert went(queue, control=control).fate == "Sent"
        assert not queue.stops


def test_what_did_not_begin_lets_the_next_text_go_first() -> None:
    """The provider could not be asked about a lost message, or the database met a bug. That tells nothing of sending.

    Where the message arrived, nothing is sent.
    """
    for queue in (FakeQueue(), FakeQueue(trouble={"begin": ValueError("a bug")})):
        control, sender = FlowControl(), FakeProvider()
        for number in range(
            2, 6
        ):  # one more than may be under way at once before anybody was answered
            with suppress(UnforeseenError):
                went(
                    queue,
                    sender,
                    control,
                    id=UUID(int=number),
                    lost_messages=[] if queue.trouble else [{"sid": SID}],
                )
        assert went(FakeQueue(), sender, control).fate == "Sent"
    arrived = went(
        FakeQueue(),
        FakeProvider(reports={SID: DeliveryReport("delivered")}),
        lost_messages=[{"sid": SID}],
    )
    assert arrived.fate == "Sent"
    assert "as " + SID in arrived.why
