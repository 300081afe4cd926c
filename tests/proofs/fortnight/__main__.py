"""A town lives for so many days, across changes of clocks and holidays; each text goes out when it may, and only then.

--start: with offset.
"""

from datetime import datetime

from smsretry.local.stack import Stack
from tests.proofs.fortnight.people import invent
from tests.proofs.fortnight.report import AUTUMN, SWITCHES, fortnight
from tests.proofs.town.command import main
from tests.proofs.town.report import ProofReport


def _run(
    stack: Stack,
    *,
    texts: int = 2000,
    days: int = 14,
    seed: str = "1",
    start: str = AUTUMN.isoformat(),
) -> ProofReport:
    return fortnight(
        stack, invent(texts, days=days, start=datetime.fromisoformat(start), seed=seed)
    )


if __name__ == "__main__":
    raise SystemExit(main("fortnight", __doc__, _run, SWITCHES))
