"""The proof of evidence in short: `python -m tests.proofs.neighbors --evidence` is the long one."""

from datetime import timedelta
from unittest.mock import patch

import pytest

from smsretry.adapters.twilio import http
from smsretry.local.stack import Stack
from tests.proofs.neighbors.evidence import evidence
from tests.proofs.neighbors.unproved import EVIDENCE


@pytest.mark.long
def test_a_text_in_doubt_is_neither_lost_nor_doubled_however_twilio_tells_of_it(stack: Stack) -> None:
    """Encoded, redacted, trimmed, with a footer, in any order, by another clock, and beside an application's texts.

    Nor where two are alike, a clock stepped, a date is missing, or the list is longer than anybody reads.
    What is held for a person ends rightly once a person has said what it was.
    """
    report = evidence(stack, texts=2, seed="1", clock_ahead=timedelta(minutes=-2))
    assert report.verdict.clean, f"\n{report}\n{report.verdict.found}"
    for said, cases in (("went out", 7), ("to be sent again", 2)):
        assert report.numbers[f"resolved by a person: {said}"] == cases, f"\n{report}"


@pytest.mark.long
@pytest.mark.parametrize("mending", EVIDENCE)
def test_without_what_makes_evidence_a_proof_the_checks_see_its_defect(stack: Stack, mending: str) -> None:
    """Each is what was believed before."""
    with EVIDENCE[mending].taken_away():
        report = evidence(stack, texts=1, seed="1", clock_ahead=timedelta(0))
    assert report.verdict[EVIDENCE[mending].sees], f"\n{report}\n{report.verdict.found}"


@pytest.mark.long
def test_without_twilios_own_clock_the_checks_see_doubled_texts(stack: Stack) -> None:
    """A message that Twilio dates two minutes back seems older than its own send."""
    with patch.object(http, "_clock", return_value=None):
        report = evidence(stack, texts=1, seed="1", clock_ahead=timedelta(minutes=-2))
    assert report.verdict["doubled"], f"\n{report}\n{report.verdict.found}"
