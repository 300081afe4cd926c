"""What happens around the workers: time, recovery, what becomes of messages, and pruning."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from smsretry.retry.profile import STALE_MINUTES
from tests.proofs.interleavings.provider import Fate, Message
from tests.proofs.interleavings.state import (
    State,
    Step,
    closing,
    in_window,
    instant,
)
from tests.proofs.interleavings.worker import Poller, Worker
from tests.proofs.interleavings.workers import FIRST_LOOK
from tests.proofs.interleavings.world import World
from tests.support.records import columns

LEASE = timedelta(minutes=STALE_MINUTES, seconds=30)
"""A little more than one."""
LIFE = timedelta(hours=48)
KEPT = timedelta(days=8)
"""Longer than history must be kept."""
ON_ITS_WAY = timedelta(days=3)
"""No carrier delivers what is older."""


def time_passes(world: World, state: State) -> Iterator[Step]:
    """To the next moment at which something is due, past a lease, out of the window, and past a text's life."""
    rows = world.rows(state.content, "sms_retry_queue")
    live = [row for row in rows if row["status"] in ("pending", "processing")]
    attempts = world.rows(state.content, "sms_send_attempts")
    planned = [
        row
        for row in world.rows(state.content, "scheduled_sends")
        if row["status"] == "scheduled"
    ]
    looks = [
        at + FIRST_LOOK for row in attempts if (at := instant(row["delivery_ask_at"]))
    ]
    due = [
        instant(row["scheduled_for"])
        for row in (*live, *planned)
        if row["status"] != "processing"
    ]
    later = [at for at in (*due, *looks) if at and state.now < at <= state.now + LIFE]
    if later:
        yield _until(
            min(later), f"{(min(later) - state.now).total_seconds() / 60:g} min go by"
        )
    if any(isinstance(w, Poller) for w in state.workers) or any(
        row["status"] == "processing" for row in live
    ):
        yield _until(state.now + LEASE, "a lease goes by")
    if any(isinstance(w, Worker) for w in state.workers) and in_window(state.now):
        yield _until(closing(state.now), "the window closes")
    if live:
        yield _until(state.now + LIFE, "a text's life goes by")
    elif rows:
        yield _until(state.now + KEPT, "a week goes by")


def _until(at: datetime, name: str) -> Step:
    return Step(name, lambda _, state: replace(state, now=at))


def recovery(world: World, state: State) -> Iterator[Step]:
    """A run begins."""

    def recover(world: World, state: State) -> State:
        world.queue.recover(STALE_MINUTES)
        return state

    for row in world.rows(state.content, "sms_retry_queue"):
        at = max(
            filter(None, map(instant, columns(row, "claimed_at", "begun_at"))),
            default=None,
        )
        if (
            row["status"] == "processing"
            and at
            and state.now - at >= timedelta(minutes=STALE_MINUTES)
        ):
            yield Step("recover", recover)
            return


def pruning(world: World, state: State) -> Iterator[Step]:
    """What ended a week ago is deleted."""

    def prune(world: World, state: State) -> State:
        world.call("prune_sms_history", {"keep_days": 7})
        return state

    rows = world.rows(state.content, "sms_retry_queue")
    ended = [
        instant(row["updated_at"])
        for row in rows
        if row["status"] not in ("pending", "processing")
    ]
    if any(at and state.now - at > timedelta(days=7) for at in ended):
        yield Step("history is pruned", prune)


def carrier(world: World, state: State) -> Iterator[Step]:
    """Messages arrive or are lost; Twilio reports what it has known of one, late, twice, in any order, or never."""
    for n, message in enumerate(state.twilio.messages, 1):
        if state.now - message.at < ON_ITS_WAY:
            if message.fate == "on its way":
                yield _comes_to(f"message {n} is delivered", message, fate="delivered")
                yield _comes_to(f"message {n} is lost", message, fate="lost")
            elif (
                message.fate == "lost"
            ):  # carriers say so of messages that arrive in the end
                yield _comes_to(
                    f"message {n} is delivered after all",
                    message,
                    fate="delivered",
                    late=state.now,
                )
        for fate in message.past:
            yield Step(f"Twilio reports message {n}: {fate}", _reported(message, fate))


def _comes_to(name: str, message: Message, **changes: Any) -> Step:
    return Step(
        name,
        lambda _, state: replace(
            state, twilio=state.twilio.changes(message.sid, **changes)
        ),
    )


def _reported(message: Message, fate: Fate) -> Callable[[World, State], State]:
    status = {"on its way": "sent", "delivered": "delivered", "lost": "undelivered"}[
        fate
    ]
    values = {
        "attempt_id": message.attempt_id,
        "twilio_sid": message.sid,
        "delivery_status": status,
    }

    def take(world: World, state: State) -> State:
        answer = world.call(
            "settle_sms_attempt",
            values | ({"error_code": 30008} if fate == "lost" else {}),
        )
        return (
            state.records(message.sid)
            if fate == "delivered" and answer != "unknown_attempt"
            else state
        )

    return take
