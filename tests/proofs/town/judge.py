"""The one judge: the provider's ledger against the database.

It shares no rule with the code under test: states are read with plain SQL, and what passes is typed in here.
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from typing import TypeAlias

from tests.proofs.town.book import FAILURES, UNDER_WAY, Book, Message, Row, Story
from tests.proofs.town.report import Finding, Verdict
from tests.proofs.town.texts import Text

LIVE = ("pending", "processing")
SENT = ("sent", "delivered", "undelivered")
"""What a send log says of a text that went out."""
PASSING_REFUSALS = (20429, 20500, 20503, 30001, 30022)
"""Codes of requests that Twilio refuses for a moment: too many, its own errors, a queue that is full."""
PASSING_LOSSES = (30003, 30008, 30450, 30453)
"""Codes of carriers' failures that pass. They and no others lead to another message."""
RETRIES = 1
"""How often a text is sent again that a carrier lost for a passing reason: the deployed default."""
Judge: TypeAlias = Callable[[Text, Story], Iterator[Finding]]


def judged(
    book: Book, texts: Sequence[Text], verdict: Verdict, *judges: Judge
) -> Verdict:
    """The verdict with what was found of each text, and of messages that are no text's.

    Args:
        judges: what a proof asks besides of each text.
    """
    verdict.add(("bugs", line) for line in book.strays)
    for text in texts:
        story = book.of(text)
        findings = chain(
            truths(story), allowed(text, story), *(ask(text, story) for ask in judges)
        )
        verdict.add((f for f in findings if f[0] not in text.excused), name=text.name)
    return verdict


def truths(story: Story) -> Iterator[Finding]:
    """What is true at every moment, whatever has happened, and whatever comes."""
    if not story.decided & {"not sent", "deleted"}:
        yield from judge_messages(story.messages)
    is_live = any(row["status"] in LIVE for row in story.rows)
    log_status = story.log["status"] if story.log else "failed"
    if (
        not story.rows
        and log_status not in (*SENT, "failed")
        and not story.decided & {"deleted", "cancelled"}
    ):
        yield "lost", f"gone, and its send log says {log_status}"
    for row in story.rows:
        own_attempts = [
            attempt for attempt in story.attempts if attempt["retry_id"] == row["id"]
        ]
        yield from _end(row, own_attempts, story)
        yield from _counts(row, story.attempts)
        is_undelivered = any(
            attempt["delivery_status"] in FAILURES for attempt in own_attempts
        )  # a later row of its text may have failed, too
        if (
            row["status"] == "completed"
            and not is_live
            and not is_undelivered
            and story.log
            and story.log["status"] not in SENT
        ):
            yield (
                "misreported",
                f"completed, and its send log says {story.log['status']}",
            )
    for attempt in story.attempts:
        if attempt["twilio_sid"] in story.other_logs:
            yield "unsettled", "another text's message is taken for its own"


def judge_messages(messages: Sequence[Message]) -> Iterator[Finding]:
    """One message for a text, and another one only when each before it was lost for a reason that passes."""
    for n, message in enumerate(messages[1:], start=1):
        failures = list(
            filter(
                None, (earlier.failure_before(message.at) for earlier in messages[:n])
            )
        )
        if not failures:
            yield "doubled", f"accepted {messages[0].at} and {message.at}"
        elif len(failures) < n:
            yield (
                "retried twice",
                f"{n} messages before {message.at}, {len(failures)} of them lost",
            )
        if any(
            earlier.arrived_at is not None
            and earlier.arrived_at + UNDER_WAY < message.at
            for earlier in messages[:n]
        ):
            yield "arrived twice", f"another one was {message.at} accepted"
        if any(failure.code not in PASSING_LOSSES for failure in failures):
            yield "retried for good", f"after {failures}"
        if n > RETRIES:
            yield "retried too often", f"{n + 1} messages"


def _end(row: Row, attempts: Sequence[Row], story: Story) -> Iterator[Finding]:
    """An end is true, and so is its reason."""
    sent, why_code = bool(story.messages), row["why_code"]
    if row["status"] == "completed" and not sent and "sent" not in story.decided:
        yield "lost", "completed, and nothing was sent"
    if why_code == "already_sent" and not sent and "sent" not in story.decided:
        yield "untrue end", f"{row['status']} as already sent, and nothing was"
    if (
        row["status"] == "cancelled"
        and why_code == "opted_out"
        and not story.may_be_stopped
    ):
        yield "untrue end", "cancelled as opted out, and nobody had said a word"
    if row["status"] == "failed":
        yield from _failure(row, attempts, story)


def _failure(row: Row, attempts: Sequence[Row], story: Story) -> Iterator[Finding]:
    latest = attempts[-1] if attempts else None
    if (
        latest
        and latest["outcome"] == "rejected"
        and row["error_code"] == latest["error_code"]
    ):
        attempts_left = row["attempt_count"] < row["max_attempts"]
        if attempts_left and latest["error_code"] in PASSING_REFUSALS:
            yield (
                "untrue end",
                f"failed after {row['attempt_count']} of {row['max_attempts']}, and that passes",
            )
    says_sent = (
        story.log is None or story.log["status"] in SENT
    )  # it failed in doubt, and word came later
    if not says_sent and not story.decided & {"sent", "not sent", "cancelled"}:
        sids = {attempt["twilio_sid"] for attempt in attempts}
        is_undelivered = any(
            attempt["delivery_status"] in FAILURES for attempt in attempts
        )
        if not is_undelivered and any(
            m.sid in sids and m.last_word[0] not in FAILURES for m in story.messages
        ):
            yield "misreported", "failed, and its message is on its way"


def _counts(row: Row, attempts: Sequence[Row]) -> Iterator[Finding]:
    """A send is under way until it has an outcome, a doubt is about a send, and none has more than it may."""
    its_own = next(
        (attempt for attempt in attempts if attempt["id"] == row["attempt_id"]), None
    )
    if row["begun_at"] and (its_own is None or its_own["outcome"] is not None):
        yield "unsettled", "a send is under way, and has an outcome"
    unsure = (
        row["begun_at"] is None
        and its_own is not None
        and its_own["outcome"] != "accepted"
    )
    if row["in_doubt_since"] and row["status"] in LIVE and not unsure:
        yield "unsettled", "in doubt, and not about a send without an outcome"
    if row["attempt_count"] > row["max_attempts"]:
        yield "too many attempts", f"{row['attempt_count']} of {row['max_attempts']}"
    if row["status"] == "processing" and row["claimed_at"] is None:
        yield "stuck", "processing without a lease"


def at_the_end(story: Story, *, with_reports: bool = False) -> Iterator[Finding]:
    """What is true besides when nothing is left to do.

    Args:
        with_reports: carriers told what became of the messages, and somebody listened.
    """
    if not story.rows and "deleted" not in story.decided:
        yield "lost", "it has no row"
    for row in story.rows:
        if row["status"] in LIVE:
            yield "stuck", f"{row['status']}: {row['why'] or row['last_error']}"
        if row["status"] in ("failed", "cancelled"):
            if not row["last_error"]:
                yield "lost", f"{row['status']} without a reason"
            if story.messages and not (with_reports and _may_be_given_up(story)):
                yield (
                    "misreported",
                    f"{row['status']}, though accepted: {row['last_error']}",
                )
    if len(story.rows) > 1:
        yield "extra rows", f"{len(story.rows)} rows"
    sids = {message.sid for message in story.messages}
    for attempt in story.attempts:
        if attempt["outcome"] is None or (
            attempt["outcome"] == "accepted" and attempt["twilio_sid"] not in sids
        ):
            yield (
                "unsettled",
                f"an attempt ended as {attempt['outcome']}, message {attempt['twilio_sid']}",
            )


def _may_be_given_up(story: Story) -> bool:
    """Its messages were lost; or one arrived, and the row that would have sent another was ended."""
    all_lost = all(message.last_word[0] in FAILURES for message in story.messages)
    return all_lost or (story.log is not None and story.log["status"] == "delivered")


def allowed(text: Text, story: Story) -> Iterator[Finding]:
    """The law, and what its customer has said and is, whenever a message was accepted."""
    for message in story.messages:
        if message.to != text.phone:
            yield "astray", f"accepted {message.at} to another number"
        if not text.is_open(message.at):
            yield "out of hours", f"{message.at} accepted"
        if text.consent != "opted_in" or (
            text.stopped_at is not None and story.begun_at(message) > text.stopped_at
        ):
            yield (
                "after an opt-out",
                f"stopped {text.stopped_at}, begun {story.begun_at(message)}",
            )
