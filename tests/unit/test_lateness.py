"""Why a text was late: its lines, added up."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from smsretry.desk.questions.lateness import Spent, late, lateness
from smsretry.desk.questions.records import TextRecord

NOON = datetime(2027, 1, 12, 12, tzinfo=UTC)


def at(minutes: float) -> datetime:
    """So many minutes after noon."""
    return NOON + timedelta(minutes=minutes)


def event(minutes: float, code: str, *, until: float | None = None, last: float | None = None, **more: Any) -> Any:
    """An event of the story."""
    line: dict[str, Any] = {"at": at(minutes), "code": code, "who": "smsretry"}
    line |= {"until": None if until is None else at(until), "times": 1 if last is None else 2}
    return line | {"last_at": None if last is None else at(last)} | more


def send(minutes: float, outcome: str, *, until: float, **more: Any) -> Any:
    """A send that was begun."""
    unsaid = dict.fromkeys(
        ("code", "sid", "rule", "consent", "consent_at", "consent_source", "run_id", "delivery", "delivery_code")
    )
    attempt = {"begun_at": at(minutes), "finished_at": at(until), "number": 1, "outcome": outcome}
    attempt |= {"settled_by": "response", "worker_died": False, "delivery_at": None}
    return unsaid | attempt | more


def text(
    *, events: Any = (), history: Any = (), state: str = "sent", asked: float = 600, due: Any = NOON
) -> TextRecord:
    """A text that was queued at noon, for noon."""
    unsaid = dict.fromkeys(TextRecord.model_fields.keys() - {"unreadable", "looks"})
    row = {"retry_id": UUID(int=1), "send_log_id": UUID(int=2), "message_class": "marketing", "state": state}
    row |= {"since": NOON, "queued_at": NOON, "asked_at": at(asked), "attempts": 1, "max_attempts": 3}
    return TextRecord.model_validate(
        unsaid | row | {"events": events, "history": history, "can": (), "first_due_at": due}
    )


def spent(record: TextRecord) -> dict[str, float]:
    """Minutes by what they were spent on."""
    found = lateness(record)
    assert found is not None
    return {part.on: round(part.seconds / 60, 1) for part in found.spent}


def test_every_minute_between_due_and_sent_is_counted_once() -> None:
    """Longest first."""
    events = [
        event(1, "retry_scheduled", until=2, because="Twilio 20503: Down"),
        event(10, "given_back", until=2, last=20, why_code="sending_stopped"),
        event(22, "deferred", until=82, why_code="quiet_hours"),
    ]
    history = [send(1, "not_sent", until=1), send(84, "accepted", until=84)]
    assert spent(text(events=events, history=history)) == {
        "in quiet hours": 60,
        "until a run took it": 13,
        "given back: sending was stopped": 10,
        "until the next try: Twilio 20503: Down": 1,
    }


def test_a_send_between_two_lines_of_one_reason_is_in_that_reason() -> None:
    """Each try has its own line as a send."""
    events = [event(0, "retry_scheduled", until=6, last=1.1, because="No answer")]
    history = [send(0, "not_sent", until=0), send(1, "not_sent", until=1), send(6, "accepted", until=6)]
    assert spent(text(events=events, history=history)) == {"until the next try: No answer": 6}


def test_what_happened_before_it_was_due_does_not_count() -> None:
    """The application put it off from 11:50 on."""
    events = [event(-10, "put_off", until=30, who="the application")]
    assert spent(text(events=events, history=[send(30, "accepted", until=30)])) == {"put off by the application": 30}


def test_the_time_in_doubt_lasts_until_it_is_settled_and_a_dead_worker_s_until_it_is_noticed() -> None:
    """Whoever settled it wrote another end of the send."""
    events = [
        event(10, "in_doubt", until=11),
        event(12, "looked_for", until=32, last=17),
        event(33, "not_found", until=33),
    ]
    history = [
        send(0, "not_sent", until=33, settled_by="reconcile", worker_died=True),
        send(34, "accepted", until=34),
    ]
    assert spent(text(events=events, history=history)) == {
        "in doubt": 23,
        "with a worker that died": 10,
        "until a run took it": 1,
    }


@pytest.mark.parametrize("code", ["failed", "cancelled"])
def test_a_text_that_had_ended_waited_for_whoever_queued_it_again(code: str) -> None:
    """And not for a run."""
    events = [event(0, code), event(30, "opted_in", who="Ann"), event(60, "requeued", who="Ann")]
    found = lateness(text(events=events, history=[send(62, "accepted", until=62)]))
    assert found is not None
    assert found.spent[0] == Spent(seconds=3600, on={"failed": "given up", "cancelled": "cancelled"}[code])


@pytest.mark.parametrize(
    ("record", "said"),
    [
        (text(history=[send(4, "accepted", until=4)]), None),
        (text(state="failed"), None),
        (text(state="waiting", due=at(700)), None),
        (text(due=None, history=[send(4, "accepted", until=4)]), None),
        (text(state="sent"), None),
        (text(due=None, history=[send(40, "accepted", until=40)]), "how its time was spent is not known"),
        (text(state="due", asked=40), "it was first due 40 min ago (Tue 12 Jan 12:00 UTC): 40 min until a run took it"),
    ],
)
def test_nothing_is_said_of_a_text_that_is_not_late_or_of_which_nothing_is_known(
    record: TextRecord, said: str | None
) -> None:
    """What is not known is said as that, once it matters."""
    found = late(record, UTC)
    assert (found or "").startswith(said or "")
    assert (found is None) == (said is None)
