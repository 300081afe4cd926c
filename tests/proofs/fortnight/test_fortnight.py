"""A fortnight in a smaller town: `python -m tests.proofs.fortnight --texts 2000` is the long run."""

import ast
from pathlib import Path

import pytest

from smsretry.local.stack import Stack
from tests.proofs.fortnight.people import invent
from tests.proofs.fortnight.report import AUTUMN, SWITCHES, fortnight

_PROOFS = Path(__file__).parents[1]


@pytest.mark.long
def test_in_a_fortnight_every_text_goes_out_when_it_may_and_only_then(
    stack: Stack,
) -> None:
    """Over a change of clocks and holidays; opt-outs, failures of Twilio and eager senders among it."""
    report = fortnight(stack, invent(120, days=14, start=AUTUMN, seed="1"))
    assert report.clean, report.tell()
    assert all(report.numbers.values()), f"nothing of it happened\n{report}"


def test_the_judges_share_no_rule_with_what_they_judge() -> None:
    """Of the package they know the stand-in for Twilio, the stack and the schedule of retries, and no more."""
    judges = [
        *_PROOFS.glob("oracles/*.py"),
        _PROOFS / "fortnight" / "people.py",
        _PROOFS / "fortnight" / "checks.py",
    ]
    judges += [
        _PROOFS / "town" / f"{name}.py"
        for name in ("book", "judge", "texts", "luck", "report")
    ]
    for judge in judges:
        tree = ast.parse(judge.read_text(encoding="utf-8"))
        imports = [
            node.module or ""
            for node in ast.walk(tree)
            if isinstance(node, ast.ImportFrom)
        ]
        imports += [
            alias.name
            for node in ast.walk(tree)
            if isinstance(node, ast.Import)
            for alias in node.names
        ]
        ours = {
            found
            for found in imports
            if found.startswith("smsretry") and "local" not in found
        }
        assert ours <= {"smsretry.data"}, judge


@pytest.mark.long
@pytest.mark.parametrize("safeguard", SWITCHES)
def test_without_a_safeguard_the_judge_sees_what_it_keeps(
    stack: Stack, safeguard: str
) -> None:
    """A proof that cannot fail proves nothing."""
    switch = SWITCHES[safeguard]
    report = switch.report(stack)
    assert switch.is_seen(report), report.tell()
