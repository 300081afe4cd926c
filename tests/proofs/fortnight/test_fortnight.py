"""A fortnight in a smaller town: `python -m tests.proofs.fortnight --texts 2000` is the long run."""

import pytest

from smsretry.local.stack import Stack
from tests.proofs.fortnight.people import invent
from tests.proofs.fortnight.report import AUTUMN, SWITCHES, fortnight


@pytest.mark.long
def test_in_a_fortnight_every_text_goes_out_when_it_may_and_only_then(
    stack: Stack,
) -> None:
    """Over a change of clocks and holidays; opt-outs, failures of Twilio and eager senders among it."""
    report = fortnight(stack, invent(120, days=14, start=AUTUMN, seed="1"))
    assert report.clean, report.tell()
    assert all(report.numbers.values()), f"nothing of it happened\n{report}"


@pytest.mark.long
@pytest.mark.parametrize("safeguard", SWITCHES)
def test_without_a_safeguard_the_judge_sees_what_it_keeps(
    stack: Stack, safeguard: str
) -> None:
    """A proof that cannot fail proves nothing."""
    switch = SWITCHES[safeguard]
    report = switch.report(stack)
    assert switch.is_seen(report), report.tell()
