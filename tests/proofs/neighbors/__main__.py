"""Hostile and clumsy neighbors share the queue with well-behaved businesses.

--texts: of the well-behaved. --minutes: a lease and the looks for evidence must fit in. --poor: instead, tenants whose
own texts come to nothing.
"""

from smsretry.local.stack import Stack
from tests.proofs.neighbors.report import everybody, run
from tests.proofs.neighbors.switches import SWITCHES
from tests.proofs.neighbors.tenants import poor as poor_tenants
from tests.proofs.town.command import main
from tests.proofs.town.report import ProofReport

_LOOKS_MINUTES = 30
"""The three looks, and a run after the last."""


def _run(
    stack: Stack,
    *,
    texts: int = 300,
    minutes: int = 120,
    seed: str = "1",
    stale_minutes: int = 10,
    poor: bool = False,
) -> ProofReport:
    if minutes < stale_minutes + _LOOKS_MINUTES and not poor:
        raise SystemExit(
            f"--minutes must be {stale_minutes + _LOOKS_MINUTES} or more: what dies or is in doubt has not ended before"
        )
    neighbors = poor_tenants(texts) if poor else everybody(texts)
    return run(stack, neighbors, minutes=minutes, seed=seed, stale=stale_minutes)


if __name__ == "__main__":
    raise SystemExit(main("neighbors", __doc__, _run, SWITCHES))
