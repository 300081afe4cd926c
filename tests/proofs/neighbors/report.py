"""Everybody, the judge, and one table."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import count, islice
from typing import Any

from smsretry.local.stack import Stack
from tests.proofs.neighbors import troubles
from tests.proofs.neighbors.senders import senders
from tests.proofs.neighbors.tenants import (
    backlog,
    broken_settings,
    flood,
    odd_values,
    refused,
    refused_beside_good,
    scheduled_flood,
    senders_down,
    slow_answers,
    well_behaved,
)
from tests.proofs.town.book import Story, read_book
from tests.proofs.town.judge import at_the_end, judged
from tests.proofs.town.report import Finding, ProofReport, Verdict
from tests.proofs.town.street import MINUTE, WELL_BEHAVED, Neighbor, Street
from tests.proofs.town.texts import Text

A_RUN = MINUTE


def everybody(texts: int) -> list[Neighbor]:
    """All the neighbors there are."""
    return [
        well_behaved(texts), odd_values, flood(texts // 2), refused("refused destinations", 2, 4), broken_settings,
        troubles.mid_flight, troubles.sends_by_itself, troubles.idle_transaction,
        troubles.revoked_grant(minutes=4), troubles.killer(), troubles.poison, troubles.poison_in_doubt,
        troubles.refusing_trigger, backlog(1 + texts // 100), scheduled_flood(60 + texts // 2), *senders(),
        slow_answers(20, 5, seconds=4.0), refused_beside_good(texts // 20), senders_down(6, shops=12),
    ]  # fmt: skip


def run(stack: Stack, neighbors: Sequence[Neighbor], **options: Any) -> ProofReport:
    """On an empty stack: let the time go by, then judge. The options are the street's."""
    street = Street(stack, neighbors, **options)
    street.live()
    book, ends = read_book(stack, street.texts), Counter[str]()

    def ends_rightly(text: Text, story: Story) -> Iterator[Finding]:
        end = _end(story)
        ends[f"{text.owner}: {end.partition(':')[0]}"] += 1
        if text.owner == WELL_BEHAVED:
            yield from _of_good(text, story, end, street)
        elif not any(re.match(pattern, end) for pattern in text.may_end):
            yield "untrue end", f"{end}, and it may be {text.may_end}"
        for kind, line in at_the_end(story):
            if kind != "stuck" or text.owner == WELL_BEHAVED:  # others by may_end
                yield kind, line

    findings = judged(book, street.texts, Verdict(), street.senders.wrong, ends_rightly)
    findings.add(("bugs", line) for line in street.bugs)
    findings.add(("unanswered", line) for line in street.unanswered)
    good = [text for text in street.texts if text.owner == WELL_BEHAVED]
    numbers: dict[str, object] = {
        "minutes in which nobody could be sent to": sum(
            (b - a).seconds // 60 for a, b in street.outages
        ),
        "well-behaved texts that met a lost claim": sum(
            text.retry_id in street.lost_claims for text in good
        ),
        **street.counts,
        **ends,
        "messages": len(stack.twilio.ledger.entries()),
    }
    return ProofReport(numbers, findings)


def _end(story: Story) -> str:
    """`status: reason`; held rows are `held`, and a deleted one is `gone`."""
    if not story.rows:
        return "gone: "
    row = story.rows[-1]
    if row["held_since"]:
        return f"held: {row['why']}"
    if row["in_doubt_since"]:
        return f"in doubt: {row['last_error']}"
    return f"{row['status']}: {row['why'] or row['last_error'] or ''}"


def _of_good(text: Text, story: Story, end: str, street: Street) -> Iterator[Finding]:
    if end.startswith(("failed", "cancelled")):
        yield "failed", end
    elif not story.messages or not end.startswith("completed"):
        yield "lost", f"{end}, {len(story.messages)} messages"
    yield from _late(text, [message.at for message in story.messages[:1]], street)


def _late(
    text: Text, accepted_at: Sequence[datetime], street: Street
) -> Iterator[Finding]:
    """Each lost claim of it, and its message, come in time: once it is due, or the claim before has ended."""
    ready = text.due_at
    sent_at = accepted_at[0] if accepted_at else street.now
    lost = street.lost_claims.get(text.retry_id, [])
    for at, until in [
        *(claim for claim in lost if claim[0] < sent_at),
        (sent_at, ready),
    ]:
        by = _on_time(ready, street)
        if at >= by:
            yield (
                "late",
                f"ready {ready:%H:%M:%S}, on time until {by:%H:%M}, and it was {at:%H:%M:%S}",
            )
        ready = until


def _on_time(ready: datetime, street: Street) -> datetime:
    """The end of the second run that could have had it."""
    first = street.start - ((street.start - ready) // MINUTE) * MINUTE
    possible = (
        run
        for run in (first + n * MINUTE for n in count())
        if not any(since <= run < until for since, until in street.outages)
    )
    return next(islice(possible, 1, None)) + A_RUN
