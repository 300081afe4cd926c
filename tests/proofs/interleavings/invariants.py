"""What must hold in every state."""

import json
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
    yield from _doubled(state)
    tables = {table.name: json.loads(held) for table, held in zip(world.tables, state.content, strict=True)}
    for row in tables["sms_retry_queue"]:
        yield from _untrue(row, tables, state)
    yield from told_wrongly(world, state)


def _doubled(state: State) -> Iterator[str]:
    """Never two messages for one text, but after one that was lost for a passing reason, or by a person's word."""
    if "not sent" in state.decided:
        return
    earlier = state.twilio.messages[:-1]
    if any(not message.known_lost for message in earlier):
        yield "two messages for one text"


def _untrue(row: dict[str, Any], tables: dict[str, Any], state: State) -> Iterator[str]:
    """An end's reason is true of the little Twilio, and row and send log agree."""
    by_person = bool(state.decided & {"sent", "not sent", "cancelled"})
    arrived = [m for m in state.twilio.messages if m.fate != "lost"]
    attempts = [a for a in tables["sms_send_attempts"] if a["retry_id"] == row["id"]]
    log = next(iter(tables["send_logs"]), None)
    if row["status"] == "completed" and not state.twilio.messages and "sent" not in state.decided:
        yield "completed, and nothing was sent"
    queued_anew = any(other["status"] in ("pending", "processing") for other in tables["sms_retry_queue"])
    if row["status"] == "completed" and not queued_anew and log and log["status"] not in _SENT:
        yield f"completed, and its send log says {log['status']}"
    if row["status"] == "failed" and arrived and not by_person and row["in_doubt_since"] is None:
        mine = {a["twilio_sid"] for a in attempts if a["twilio_sid"]}
        if any(m.sid in mine for m in arrived) and not any(a["delivery_status"] == "undelivered" for a in attempts):
            yield "failed, and its message is on its way"
    if row["status"] == "processing" and row["claimed_at"] is None:
        yield "processing without a lease"


_SENT: Final = ("sent", "delivered", "undelivered")
"""What a send log says of a text that went out."""
_STATES: Final[dict[str, str]] = {"completed": "sent", "failed": "failed", "cancelled": "cancelled"}


def told_wrongly(world: World, state: State) -> Iterator[str]:
    """The story that a person is told agrees with the rows."""
    world.set_back(state.content, state.now)
    desk = Desk(world.operators, DEFAULT, meaning=code_meaning)
    rows = {str(row["id"]): row for row in _rows(world, state)}
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


def _rows(world: World, state: State) -> list[dict[str, Any]]:
    [place] = [place for place, table in enumerate(world.tables) if table.name == "sms_retry_queue"]
    rows: list[dict[str, Any]] = json.loads(state.content[place])
    return rows
