"""Twilio's ledger and the database against what each text's owner may expect. It shares no rule with the code."""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from smsretry.local.twilio.ledger import Entry
from tests.proofs.neighbors.street import MINUTE, Street
from tests.proofs.neighbors.texts import Text

KINDS: Final = (
    "lost", "doubled", "failed", "late", "untrue end", "unwanted", "astray", "wrong sender", "unanswered", "bugs",
)  # fmt: skip
"""Lost: ended or still waiting without having been accepted, or completed and unknown to Twilio. Late: by more than one
run. Untrue end: of a neighbor's text, one that its owner would not believe. Unwanted: to somebody who opted out.
Astray: to a number that was no longer the customer's when the send began. Wrong sender: likewise from a sender that was
not the business's."""
A_RUN: Final = MINUTE


@dataclass(slots=True)
class Verdict:
    """Everything that was found. Nothing should be."""

    found: dict[str, list[str]] = field(default_factory=lambda: {kind: [] for kind in KINDS})

    @property
    def clean(self) -> bool:
        """Whether nothing was found."""
        return not any(self.found.values())

    def __getitem__(self, kind: str) -> int:
        return len(self.found[kind])


@dataclass(frozen=True, slots=True)
class End:
    """Where a text stands when the run is over."""

    text: Text
    state: str
    """`status: reason`; held rows are `held`, and a deleted one is `gone`."""
    entries: tuple[Entry, ...]

    @property
    def ours(self) -> int:
        """Messages that are this text: none that carriers refused, nor an application's own text of the same words."""
        return len(self.entries) - self.text.from_application - self.text.refused_by_carriers


def judge(street: Street) -> tuple[Verdict, list[End]]:
    """Judge a run that is over."""
    verdict, ends = Verdict(), list(_ends(street))
    verdict.found["bugs"] += street.bugs
    verdict.found["unanswered"] += street.unanswered
    for end in ends:
        if any(entry.to != end.text.phone for entry in end.entries):
            verdict.found["astray"].append(end.text.name)
        if end.text.sent_from and any((e.account_sid, e.sent_by) != end.text.sent_from for e in end.entries):
            verdict.found["wrong sender"].append(end.text.name)
        for kind in _of_good(end, street) if end.text.good else _of_other(end):
            ready = street.excused.get(end.text.retry_id, end.text.due_at)
            when = [f"{entry.accepted_at:%H:%M:%S}" for entry in end.entries]
            line = f"{end.text.name}, due {end.text.due_at:%H:%M:%S}, claimable again {ready:%H:%M:%S}"
            verdict.found[kind].append(f"{line}: {end.state}; {end.ours} message(s) {when}")
    return verdict, ends


def _ends(street: Street) -> Iterator[End]:
    rows = {
        row["id"]: row
        for row in street.connection.execute(
            "select id, status, last_error, why, held_since, in_doubt_since from sms_retry_queue"
        )
    }
    by_body: dict[str, list[Entry]] = {}
    for entry in street.stack.twilio.ledger.entries():
        by_body.setdefault(entry.body, []).append(entry)
    for text in street.texts:
        entries = [entry for words in (text.body, text.other_words) for entry in by_body.get(words or "", ())]
        yield End(text, _state(rows.get(text.retry_id)), tuple(entries))


def _state(row: dict[str, Any] | None) -> str:
    if row is None:
        return "gone: "
    if row["held_since"]:
        return f"held: {row['why']}"
    if row["in_doubt_since"]:
        return f"in doubt: {row['last_error']}"
    return f"{row['status']}: {row['why'] or row['last_error'] or ''}"


def _of_good(end: End, street: Street) -> Iterator[str]:
    if end.ours > 1:
        yield "doubled"
    if end.state.startswith(("failed", "cancelled")):
        yield "failed"
    elif end.ours < 1 or not end.state.startswith("completed"):
        yield "lost"
    if not end.entries or end.entries[0].accepted_at >= _on_time(end.text, street):
        yield "late"


def _on_time(text: Text, street: Street) -> datetime:
    """The end of the run after the first one that could have had it."""
    ready = max(text.due_at, street.excused.get(text.retry_id, text.due_at))
    for since, until in street.outages:
        if since - A_RUN <= ready < until:
            ready = until
    first = street.start + -((street.start - ready) // MINUTE) * MINUTE
    return first + 2 * A_RUN


def _of_other(end: End) -> Iterator[str]:
    if end.ours > 1:
        yield "doubled"
    if end.state.startswith("completed") and end.ours < 1:
        yield "lost"
    if end.text.unwanted and end.ours:
        yield "unwanted"
    if not any(re.match(pattern, end.state) for pattern in end.text.may_end):
        yield "untrue end"


def summary(ends: list[End]) -> Counter[tuple[str, str]]:
    """How many texts of each neighbor ended how."""
    return Counter((end.text.owner, end.state.partition(":")[0]) for end in ends)
