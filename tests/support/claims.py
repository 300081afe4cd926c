"""Claims, by what a test is after."""

from typing import Any

from smsretry.retry.models import Claim
from smsretry.sending.ports import RetryQueue
from tests.support.records import Connection


def claim_due(queue: RetryQueue, limit: int = 50, **options: Any) -> list[Claim]:
    """The due ones of a claim."""
    return [
        claim
        for claim in queue.claim_texts(limit, **options).texts
        if claim.in_doubt_since is None
    ]


def next_due(connection: Connection) -> float | None:
    """Seconds until something is due that a run would claim. None: nothing will be."""
    row = connection.execute(
        """select greatest(extract(epoch from min(scheduled_for) - smsretry.clock()), 0)::float8 as seconds
           from sms_retry_queue where work in ('texts', 'doubtful', 'suspect')"""
    ).fetchone()
    assert row
    seconds: float | None = row["seconds"]
    return seconds


def claim_doubtful(queue: RetryQueue, limit: int = 50) -> list[Claim]:
    """Those in doubt whose next look has come."""
    return [
        claim
        for claim in queue.claim_texts(limit).texts
        if claim.in_doubt_since is not None
    ]


def claim_suspect(queue: RetryQueue) -> list[Claim]:
    """The one suspect row that is claimed next, or none."""
    return list(queue.claim_texts(1, suspect=True).texts)
