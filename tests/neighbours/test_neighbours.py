"""The proof in short: `python -m tests.neighbours --texts 300 --minutes 120` is the long one."""

from datetime import timedelta
from unittest.mock import patch

import pytest

from smsretry.adapters.twilio import http
from smsretry.local.stack import Stack
from tests.impatience import impatient
from tests.neighbours.evidence import evidence
from tests.neighbours.poor import poor
from tests.neighbours.report import everybody, run
from tests.neighbours.slow import ShortAnswers, slow
from tests.neighbours.switches import SWITCHES
from tests.neighbours.tenants import Flood, WellBehaved
from tests.neighbours.unproved import EVIDENCE


def test_well_behaved_businesses_notice_nothing_of_their_neighbours(stack: Stack) -> None:
    """Odd values, floods, refusals, changes, locks, grants, lost answers, deaths, and applications that send."""
    report = run(stack, everybody(60), minutes=60, seed="1", stale=2)
    assert report.verdict.clean, f"\n{report}\n{report.verdict.found}"
    for what in ("changes in mid-flight", "workers killed by a row", "held before the mending", "edited in doubt"):
        assert report.numbers[what], f"nothing of it happened: {what}\n{report}"


def test_well_behaved_businesses_notice_nothing_of_what_takes_the_database_long_nor_of_short_answers(
    stack: Stack,
) -> None:
    """Triggers that sleep or refuse, thirty locked rows, megabytes, and ten rows of an answer at most."""
    with impatient(stack, seconds=2.0):
        report = run(stack, [WellBehaved(60), Flood(40), *slow(), ShortAnswers()], minutes=20, seed="1")
    assert report.verdict.clean, f"\n{report}\n{report.verdict.found}"


def test_well_behaved_businesses_notice_nothing_of_tenants_whose_own_texts_come_to_nothing(stack: Stack) -> None:
    """A firewall's page, a server's errors, lost answers, limits of recipients, and a country that is out of reach."""
    report = run(stack, poor(60, 60), minutes=30, seed="1")
    assert report.verdict.clean, f"\n{report}\n{report.verdict.found}"


@pytest.mark.parametrize("mending", SWITCHES)
def test_without_a_mending_the_checks_see_its_defect(stack: Stack, mending: str) -> None:
    """A proof that cannot fail proves nothing."""
    switch = SWITCHES[mending]
    report = switch.run(stack, seed="1")
    assert report.verdict[switch.sees], f"\n{report}\n{report.verdict.found}"


@pytest.mark.parametrize("minutes", [-2, 2])
def test_a_text_in_doubt_is_neither_lost_nor_doubled_however_twilio_tells_of_it(stack: Stack, minutes: int) -> None:
    """Encoded, redacted, trimmed, with a footer, in any order, by another clock, and beside an application's texts.

    Nor where two are alike, a clock stepped, a date is missing, or the list is longer than anybody reads.
    What is held for a person ends rightly once a person has said what it was.
    """
    report = evidence(stack, texts=2, seed="1", clock_ahead=timedelta(minutes=minutes))
    assert report.verdict.clean, f"\n{report}\n{report.verdict.found}"
    for said, cases in (("went out", 7), ("to be sent again", 2)):
        assert report.numbers[f"resolved by a person: {said}"] == cases, f"\n{report}"


@pytest.mark.parametrize("mending", EVIDENCE)
def test_without_what_makes_evidence_a_proof_the_checks_see_its_defect(stack: Stack, mending: str) -> None:
    """Each is what was believed before."""
    with EVIDENCE[mending].taken_away():
        report = evidence(stack, texts=2, seed="1", clock_ahead=timedelta(0))
    assert report.verdict[EVIDENCE[mending].sees], f"\n{report}\n{report.verdict.found}"


def test_without_twilios_own_clock_the_checks_see_doubled_texts(stack: Stack) -> None:
    """A message that Twilio dates two minutes back seems older than its own send."""
    with patch.object(http, "_clock", return_value=None):
        report = evidence(stack, texts=2, seed="1", clock_ahead=timedelta(minutes=-2))
    assert report.verdict["doubled"], f"\n{report}\n{report.verdict.found}"
