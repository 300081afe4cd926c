"""A fortnight in a smaller town: `python -m tests.proofs.fortnight --texts 2000` is the long run."""

import pytest

from smsretry.local.stack import Stack
from tests.proofs.fortnight.people import invent
from tests.proofs.fortnight.report import AUTUMN, fortnight


@pytest.mark.long
def test_in_a_fortnight_every_text_goes_out_when_it_may_and_only_then(
    stack: Stack,
) -> None:
    """Over a change of clocks and holidays; opt-outs, failures of Twilio and eager senders among it."""
    report = fortnight(stack, invent(120, days=14, start=AUTUMN, seed="1"))
    assert report.clean, report.tell()
    for event in (
        "completed", "failed", "cancelled", "pending", "  opted_out", "  rejected, by response",
        "  accepted, by reconcile", "deferred: quiet_hours", "deferred: daily_cap",
    ):  # fmt: skip
        assert report.numbers.get(event), f"nothing of it happened: {event}\n{report}"
