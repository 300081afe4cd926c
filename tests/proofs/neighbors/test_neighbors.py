"""The proof in short: `python -m tests.proofs.neighbors --texts 300 --minutes 120` is the long one."""

import pytest

from smsretry.local.stack import Stack
from smsretry.retry.profile import MOST_TEXTS
from smsretry.sending import flow_control
from tests.proofs.neighbors.poor import poor
from tests.proofs.neighbors.report import everybody, run


@pytest.mark.long
def test_well_behaved_businesses_notice_nothing_of_their_neighbors(stack: Stack) -> None:
    """Odd values, floods, refusals, changes, locks, grants, lost answers, deaths, and applications that send."""
    report = run(stack, everybody(40), minutes=60, seed="1", stale=2)
    assert report.verdict.clean, f"\n{report}\n{report.verdict.found}"
    for what in (
        *("changes in mid-flight", "workers killed by a row", "held before the mending", "edited in doubt"),
        *("moved in mid-flight", "moved in doubt", "messages from an unregistered number"),
    ):
        assert report.numbers[what], f"nothing of it happened: {what}\n{report}"


@pytest.mark.long
def test_well_behaved_businesses_notice_nothing_of_tenants_whose_own_texts_come_to_nothing(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A firewall's page, a server's errors, lost answers, limits of recipients, and a country that is out of reach.

    A machine that stands still for seconds makes a text wait for the next run, which is no neighbor's doing.
    """
    monkeypatch.setattr(flow_control, "PATIENCE_SECONDS", 30.0)
    report = run(stack, poor(60, 40), minutes=20, seed="1", limit=MOST_TEXTS)
    assert report.verdict.clean, f"\n{report}\n{report.verdict.found}"
