"""The proof in short: `python -m tests.proofs.neighbors --texts 300 --minutes 120` is the long one."""

from datetime import timedelta

import pytest

from smsretry.local.stack import Stack
from smsretry.retry.profile import MOST_TEXTS
from smsretry.sending import flow_control
from tests.proofs.neighbors.evidence import EVIDENCE, evidence
from tests.proofs.neighbors.report import everybody, run
from tests.proofs.neighbors.switches import SWITCHES
from tests.proofs.neighbors.tenants import poor
from tests.proofs.town.safeguards import without

pytestmark = pytest.mark.long


def test_well_behaved_businesses_notice_nothing_of_their_neighbors(stack: Stack) -> None:
    """Odd values, floods, refusals, changes, locks, grants, lost answers, deaths, and applications that send."""
    report = run(stack, everybody(20), minutes=60, seed="1", stale=2)
    assert report.clean, report.tell()
    for what in (
        *("changes in mid-flight", "workers killed by a row", "held before the mending", "edited in doubt"),
        *("moved in mid-flight", "moved in doubt", "messages from an unregistered number"),
    ):
        assert report.numbers[what], f"nothing of it happened: {what}\n{report}"


def test_well_behaved_businesses_notice_nothing_of_tenants_whose_own_texts_come_to_nothing(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A firewall's page, a server's errors, lost answers, limits of recipients, and a country that is out of reach.

    A machine that stands still for seconds makes a text wait for the next run, which is no neighbor's doing.
    """
    monkeypatch.setattr(flow_control, "PATIENCE_SECONDS", 30.0)
    report = run(stack, poor(60, 40), minutes=20, seed="1", limit=MOST_TEXTS)
    assert report.clean, report.tell()


def test_a_text_in_doubt_is_neither_lost_nor_doubled_however_twilio_tells_of_it(stack: Stack) -> None:
    """Encoded, redacted, trimmed, with a footer, in any order, by another clock, and beside an application's texts.

    Nor where two are alike, a clock stepped, a date is missing, or the list is longer than anybody reads.
    What is held for a person ends rightly once a person has said what it was.
    """
    report = evidence(stack, texts=2, seed="1", clock_ahead=timedelta(minutes=-2))
    assert report.clean, report.tell()
    for said, cases in (("went out", 7), ("to be sent again", 2)):
        assert report.numbers[f"resolved by a person: {said}"] == cases, f"\n{report}"


@pytest.mark.parametrize("safeguard", SWITCHES)
def test_without_a_safeguard_the_judge_sees_what_it_keeps(stack: Stack, safeguard: str) -> None:
    """A proof that cannot fail proves nothing."""
    report = SWITCHES[safeguard].run(stack, seed="1")
    assert report.verdict[SWITCHES[safeguard].sees], report.tell()


@pytest.mark.parametrize("safeguard", EVIDENCE)
def test_without_what_makes_evidence_a_proof_the_judge_sees_what_it_keeps(stack: Stack, safeguard: str) -> None:
    """Each is what was believed before."""
    sees, taken = EVIDENCE[safeguard]
    with without(stack, taken):
        report = evidence(stack, texts=1, seed="1", clock_ahead=timedelta(minutes=-2))
    assert report.verdict[sees], report.tell()
