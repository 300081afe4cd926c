"""The proof in short: `python -m tests.proofs.neighbors --texts 300 --minutes 120` is the long one."""

import pytest

from smsretry.local.stack import Stack
from smsretry.retry.profile import MOST_TEXTS
from smsretry.sending import flow_control
from tests.proofs.neighbors.report import everybody, run
from tests.proofs.neighbors.senders import slow_sender
from tests.proofs.neighbors.tenants import poor

pytestmark = pytest.mark.long


def test_well_behaved_businesses_notice_nothing_of_their_neighbors(
    stack: Stack,
) -> None:
    """Odd values, floods, refusals, changes, locks, grants, lost answers, deaths, and applications that send."""
    report = run(stack, everybody(20), minutes=60, seed="1", stale=2)
    assert report.clean, report.tell()
    for event in (
        "changes in mid-flight",
        "workers killed by a row",
        "held before the mending",
    ):
        assert report.numbers[event], f"nothing of it happened: {event}\n{report}"


def test_well_behaved_businesses_notice_nothing_of_tenants_whose_own_texts_come_to_nothing(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A firewall's page, a server's errors, lost answers, limits of recipients, and a country that is out of reach.

    A machine that stands still for seconds makes a text wait for the next run, which is no neighbor's doing.
    """
    monkeypatch.setattr(flow_control, "PATIENCE_SECONDS", 30.0)
    report = run(stack, poor(60, 40), minutes=20, seed="1", limit=MOST_TEXTS)
    assert report.clean, report.tell()


@pytest.mark.parametrize("seconds", [12.0, 28.0])
def test_nobody_waits_for_another_s_sender(stack: Stack, seconds: float) -> None:
    """Its sends hold their share of the places for long, and the others' texts go out beside them."""
    report = run(stack, [slow_sender(seconds)], minutes=8, seed="1")
    assert report.clean, report.tell()
    assert stack.twilio.most_posts_at_once <= 10
