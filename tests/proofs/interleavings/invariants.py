"""What must hold in every state."""

from collections.abc import Iterator
from typing import Any, Final
from uuid import UUID

from smsretry.adapters.twilio.errors import code_meaning
from smsretry.desk.actions.requests import WhichText
from smsretry.desk.desk import Desk
from smsretry.retry.profile import DEFAULT
from tests.proofs.interleavings.state import State
from tests.proofs.interleavings.world import World


def broken(world: World, state: State) -> Iterator[str]:
    """What does not hold."""
    yield from state.broken
    for log in {message.log for message in state.twilio.messages}:
        yield from _doubled(state, log)
    rows, attempts, logs = (world.rows(state.content, name) for name in _TABLES)
    for row in rows:
        mine = [attempt for attempt in attempts if attempt["retry_id"] == row["id"]]
        told = next((log for log in logs if log["id"] == row["send_log_id"]), None)
        queued_anew = any(o["status"] in _LIVE and o["send_log_id"] == row["send_log_id"] for o in rows)
        yield from _untrue(row, mine, told, state)
        yield from _anothers(row, mine, state)
        yield from _counted_wrongly(row, attempts)
        if row["status"] == "completed" and not queued_anew and told and told["status"] not in _SENT:
            yield f"completed, and its send log says {told['status']}"
    yield from _forgotten_deliveries(attempts, logs, state)
    yield from told_wrongly(world, state)


def _doubled(state: State, log: UUID) -> Iterator[str]:
    """Never two messages for one text, but after one that was lost for a passing reason, or by a person's word."""
    if state.decided & {"not sent", "deleted"}:
        return
    earlier = [message for message in state.twilio.messages if message.log == log][:-1]
    if any(not message.known_lost for message in earlier):
        yield "two messages for one text"


def _untrue(
    row: dict[str, Any], attempts: list[dict[str, Any]], log: dict[str, Any] | None, state: State
) -> Iterator[str]:
    """An end's reason is true of the little Twilio."""
    messages = [message for message in state.twilio.messages if str(message.log) == row["send_log_id"]]
    if row["status"] == "completed" and not messages and "sent" not in state.decided:
        yield "completed, and nothing was sent"
    says_sent = log is None or log["status"] in _SENT  # a text that failed in doubt, and of which word came later
    if row["status"] == "failed" and not says_sent and not state.decided & {"sent", "not sent", "cancelled"}:
        known = {attempt["twilio_sid"] for attempt in attempts}
        lost = any(attempt["delivery_status"] == "undelivered" for attempt in attempts)
        if not lost and any(message.sid in known and message.fate != "lost" for message in messages):
            yield "failed, and its message is on its way"
    if row["status"] == "processing" and row["claimed_at"] is None:
        yield "processing without a lease"


def _anothers(row: dict[str, Any], attempts: list[dict[str, Any]], state: State) -> Iterator[str]:
    """A message proves no other text than its own."""
    texts = {message.sid: str(message.log) for message in state.twilio.messages}
    for attempt in attempts:
        if texts.get(attempt["twilio_sid"], row["send_log_id"]) != row["send_log_id"]:
            yield "another text's message is taken for its own"


def _counted_wrongly(row: dict[str, Any], attempts: list[dict[str, Any]]) -> Iterator[str]:
    """A send is under way until it has an outcome, and a text in doubt is about a send; none has more than it may."""
    its_own = next((attempt for attempt in attempts if attempt["id"] == row["attempt_id"]), None)
    if row["begun_at"] and (its_own is None or its_own["outcome"] is not None):
        yield "a send is under way, and has an outcome"
    if (
        row["in_doubt_since"]
        and row["status"] in _LIVE
        and (row["begun_at"] or its_own is None or its_own["outcome"] == "accepted")
    ):
        yield "in doubt, and not about a send without an outcome"
    if row["attempt_count"] > row["max_attempts"]:
        yield "more attempts than it may have"


def _forgotten_deliveries(attempts: list[dict[str, Any]], logs: list[dict[str, Any]], state: State) -> Iterator[str]:
    """What we were told to be delivered stays delivered, whatever is reported later."""
    for message in state.twilio.messages:
        if message.heard:
            if any(a["twilio_sid"] == message.sid and a["delivery_status"] != "delivered" for a in attempts):
                yield "its delivery is forgotten"
            if any(log["id"] == str(message.log) and log["status"] != "delivered" for log in logs):
                yield "it was delivered, and its send log does not say so"


_TABLES: Final = ("sms_retry_queue", "sms_send_attempts", "send_logs")
_LIVE: Final = ("pending", "processing")
_SENT: Final = ("sent", "delivered", "undelivered")
"""What a send log says of a text that went out."""
_STATES: Final[dict[str, str]] = {"completed": "sent", "failed": "failed", "cancelled": "cancelled"}


def told_wrongly(world: World, state: State) -> Iterator[str]:
    """The story that a person is told agrees with the rows."""
    world.set_back(state.content, state.now)
    desk = Desk(world.operators, DEFAULT, meaning=code_meaning)
    rows = {str(row["id"]): row for row in world.rows(state.content, "sms_retry_queue")}
    told = [story for row_id in rows for story in desk.explain(WhichText(retry_id=UUID(row_id)))]
    if len(told) != len(rows):
        yield "a text without a story"
    for story in told:
        row = rows[str(story.text.retry_id)]
        expected = _STATES.get(row["status"]) or _state_of_live(row)
        if story.text.state != expected and not (expected == "waiting" and story.text.state == "due"):
            yield f"{expected}, and the story says {story.text.state}"
        if not story.next:
            yield "a story without what comes next"


def _state_of_live(row: dict[str, Any]) -> str:
    if row["in_doubt_since"]:
        return "in_doubt"
    if row["status"] == "processing":
        return "under_way"
    return "held" if row["held_since"] else "waiting"
