"""What must hold in every state: what the town's judge says, and what only every moment can tell."""

from collections.abc import Iterator, Sequence
from typing import Final
from uuid import UUID

from smsretry.adapters.desk import Desk
from smsretry.adapters.twilio.errors import code_meaning
from smsretry.desk.actions.requests import ExplainText
from smsretry.retry.profile import DEFAULT
from tests.proofs.interleavings.state import BODY, OTHER_LOG, State
from tests.proofs.interleavings.world import World
from tests.proofs.town.book import FAILURES, Story
from tests.proofs.town.judge import LIVE, SENT, truths
from tests.proofs.town.report import Finding
from tests.support.records import Record

_GIVEN_UP = {"not sent", "cancelled", "deleted"}
_STATES: Final[dict[str, str]] = {
    "completed": "sent",
    "failed": "failed",
    "cancelled": "cancelled",
}


def broken(world: World, state: State) -> Iterator[Finding]:
    """What does not hold, whatever step led here."""
    yield from untrue(world, state)
    yield from (("told wrongly", line) for line in _explained_wrongly(world, state))


def untrue_in_the_end(world: World, state: State) -> Iterator[Finding]:
    """A text that is called cancelled has no message, once nobody has anything to do and nobody decided otherwise.

    Nobody can know what Twilio has not reported yet: that a message arrived which it had called lost.
    """
    unreported = {
        message.sid
        for message in state.twilio.messages
        if message.late and not message.is_recorded
    }
    for story in _stories(world, state):
        says_sent = story.log is None or story.log["status"] in SENT
        if (
            {row["status"] for row in story.rows} == {"cancelled"}
            and any(
                message.last_word[0] not in FAILURES
                for message in story.messages
                if message.sid not in unreported
            )
            and not (says_sent or story.decided)
        ):
            yield "misreported", "cancelled, though accepted"


def untrue(world: World, state: State) -> Iterator[Finding]:
    """What the town's judge says of each text, and what was forgotten."""
    stories = [*_stories(world, state)]
    logs = world.rows(state.content, "send_logs")
    others = [log["subject"] for log in logs if log["id"] == str(OTHER_LOG)]
    alike = others == [BODY] and _may_be_exchanged(state, stories)
    for story in stories:
        excused = _OF_A_PAIR if alike else _of_a_cancelled_claim(state, story)
        yield from (finding for finding in truths(story) if finding[0] not in excused)
    if alike:
        yield from _pair(state, stories)
    yield from _forgotten_deliveries(world, state)


_OF_A_PAIR: Final = ("lost", "doubled", "unsettled", "misreported", "arrived twice")
"""What is said of two texts of the same words together."""


def _may_be_exchanged(state: State, stories: Sequence[Story]) -> bool:
    """Whether the message of one may be taken for the other's: nobody heard the answer of either, the application sent
    one itself, or somebody gave up one. To their recipient it is the same.
    """
    unheard = [
        story
        for story in stories
        if any(a["outcome"] and a["settled_by"] != "response" for a in story.attempts)
    ]
    return len(unheard) > 1 or _is_open(state)


def _is_open(state: State) -> bool:
    """Whether somebody else's deed leaves open whose a message is. That is the honest limit."""
    by_itself = any(message.attempt_id is None for message in state.twilio.messages)
    return by_itself or bool(state.deeds() & _GIVEN_UP)


def _pair(state: State, stories: Sequence[Story]) -> Iterator[Finding]:
    """Of two texts of the same words: as many messages as were sent."""
    messages = state.twilio.messages
    sent = sum(
        any(row["status"] == "completed" for row in story.rows) for story in stories
    )
    if sent > len(messages) and not (_is_open(state) or "sent" in state.deeds()):
        yield "lost", f"{sent} texts of the same words, {len(messages)} messages"
    if len(messages) > 2 and "not sent" not in state.deeds():
        yield "doubled", "of two texts of the same words"


def _of_a_cancelled_claim(state: State, story: Story) -> Sequence[str]:
    """The honest limit: the application cancels a text that its own processor is sending, and queues it anew.

    Where recovery has noted that send, as one without a sender, it must have been looked for.
    """
    by_itself = any(
        message.attempt_id is None and str(message.log) == story.name
        for message in state.twilio.messages
    )
    is_noted = any(attempt["sent_by"] is None for attempt in story.attempts)
    is_excused = by_itself and not is_noted and "cancelled" in story.decided
    return ["doubled"] if is_excused else []


def _stories(world: World, state: State) -> Iterator[Story]:
    rows, attempts, logs = (
        world.rows(state.content, name)
        for name in ("sms_retry_queue", "sms_send_attempts", "send_logs")
    )
    ids = (
        {row["send_log_id"] for row in rows}
        | {log["id"] for log in logs}
        | {str(m.log) for m in state.twilio.messages}
    )
    for log_id in sorted(ids):
        own_rows = [row for row in rows if row["send_log_id"] == log_id]
        retries = {row["id"] for row in own_rows}
        yield Story(
            name=log_id,
            rows=own_rows,
            attempts=sorted(
                (a for a in attempts if a["retry_id"] in retries),
                key=lambda attempt: attempt["begun_at"],
            ),
            log=next((log for log in logs if log["id"] == log_id), None),
            messages=[
                message.judged()
                for message in state.twilio.messages
                if str(message.log) == log_id
            ],
            other_logs=frozenset(
                message.sid
                for message in state.twilio.messages
                if str(message.log) != log_id
            ),
            may_be_stopped=state.said.word != "yes",
            decided=state.deeds(log_id),
        )


def _forgotten_deliveries(world: World, state: State) -> Iterator[Finding]:
    """What we were told to be delivered stays delivered, whatever is reported later."""
    for message in state.twilio.messages:
        if message.is_recorded:
            attempts, logs = (
                world.rows(state.content, name)
                for name in ("sms_send_attempts", "send_logs")
            )
            if any(
                a["twilio_sid"] == message.sid and a["delivery_status"] != "delivered"
                for a in attempts
            ):
                yield "delivery forgotten", "by its attempt"
            if any(
                log["id"] == str(message.log) and log["status"] != "delivered"
                for log in logs
            ):
                yield "delivery forgotten", "by its send log"


def _explained_wrongly(world: World, state: State) -> Iterator[str]:
    """The story that a person is told agrees with the rows."""
    world.set_back(state.content, state.now)
    desk = Desk(world.operators, DEFAULT, meaning=code_meaning)
    rows = {str(row["id"]): row for row in world.rows(state.content, "sms_retry_queue")}
    stories = [
        story for row_id in rows for story in desk.explain(ExplainText(id=UUID(row_id)))
    ]
    if len(stories) != len(rows):
        yield "a text without a story"
    for story in stories:
        expected = _state_of(rows[str(story.text.retry_id)])
        if story.text.state != expected and not (
            expected == "waiting" and story.text.state == "due"
        ):
            yield f"{expected}, and the story says {story.text.state}"
        if not story.next:
            yield "a story without what comes next"


def _state_of(row: Record) -> str:
    if row["status"] not in LIVE:
        return _STATES[row["status"]]
    if row["in_doubt_since"]:
        return "in_doubt"
    if row["status"] == "processing":
        return "under_way"
    return "held" if row["held_since"] else "waiting"
