"""One run: claim, process each row, remember whether sending works. The flow maps the same steps as Prefect tasks."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from smsretry.gate import Gate
from smsretry.pipeline import process_sms_retry_item
from smsretry.ports import RetryQueue, Sender
from smsretry.retry.models import Claim, ItemResult
from smsretry.retry.profile import DEFAULT, Profile

CONCURRENCY: Final = 10
"""Rows of one run processed at once, and so requests to Twilio under way."""


@dataclass(frozen=True, slots=True)
class ItemError:
    """A row whose processing raised; the other rows went on."""

    retry_id: UUID
    error: Exception


def claim_all(queue: RetryQueue, gate: Gate, *, limit: int) -> list[Claim]:
    """Take charge of up to `limit` due rows, and of as many in doubt whose next look has come."""
    doubtful = queue.claim_doubtful(limit)  # first: if the second claim fails, recovery brings these back unharmed
    claims = [*queue.claim_due(limit), *doubtful]
    if any(claim.circuit_open for claim in claims):
        gate.probe()
    return claims


def report_circuit(queue: RetryQueue, gate: Gate, claims: Sequence[Claim]) -> None:
    """Remember for the next run that sending does not work, or that it works again."""
    if gate.circuit:
        queue.set_circuit(gate.circuit)
    elif gate.healthy and any(claim.circuit_open for claim in claims):
        queue.set_circuit(None)


def process_due(
    queue: RetryQueue, sender: Sender, gate: Gate, *, limit: int, profile: Profile = DEFAULT
) -> Iterator[ItemResult | ItemError]:
    """Claim up to `limit` due rows and process them, without Prefect."""
    claims = claim_all(queue, gate, limit=limit)

    def process(claim: Claim) -> ItemResult | ItemError:
        try:
            return process_sms_retry_item(claim, queue=queue, sender=sender, gate=gate, profile=profile)
        except Exception as error:  # noqa: BLE001 - one bad row never stops the others
            return ItemError(claim.id, error)

    with ThreadPoolExecutor(max_workers=CONCURRENCY) as pool:
        yield from pool.map(process, claims)
    report_circuit(queue, gate, claims)
