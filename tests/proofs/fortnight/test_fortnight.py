"""A fortnight in a smaller town: `python -m tests.proofs.fortnight --texts 2000` is the long run."""

import ast
from pathlib import Path

import pytest

from smsretry.local.stack import Stack
from tests.proofs.fortnight.report import AUTUMN, Report, run
from tests.proofs.fortnight.spoils import SPOILS, spoilt
from tests.proofs.fortnight.town import invent


@pytest.mark.long
def test_in_a_fortnight_every_text_goes_out_when_it_may_and_only_then(stack: Stack) -> None:
    """Over a change of clocks and holidays; opt-outs, failures of Twilio and eager senders among it."""
    report = run(stack, invent(120, days=14, start=AUTUMN, seed="1"))
    assert report.verdict.clean, f"\n{report}\n{report.verdict.found}"
    assert all(report.numbers.values()), f"nothing of it happened\n{report}"


FORTNIGHT, ORACLES = (Path(__file__).parents[1] / folder for folder in ("fortnight", "oracles"))
JUDGES = [
    *ORACLES.glob("*.py"),
    *(FORTNIGHT / f"{name}.py" for name in ("people", "stories", "lateness", "checks")),
]


@pytest.mark.parametrize("judge", JUDGES, ids=lambda judge: judge.stem)
def test_the_checks_share_no_rule_with_what_they_check(judge: Path) -> None:
    """Of the package they know the stand-in for Twilio, the stack and the schedule of retries, and no more."""
    tree = ast.parse(judge.read_text(encoding="utf-8"))
    imports = [node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    imports += [alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names]
    ours = {found for found in imports if found.startswith("smsretry") and "local" not in found}
    assert ours <= {"smsretry.data"}


def two_days(stack: Stack, wrong: str) -> Report:
    """A few people's, with something wrong."""
    spoil = SPOILS[wrong]
    with spoilt(stack, spoil):
        return run(stack, invent(40, days=2, start=AUTUMN, seed="24"), profile=spoil.profile)


@pytest.mark.long
@pytest.mark.parametrize(
    ("wrong", "seen"),
    [
        ("federal hours alone", "outside the window"),
        ("no daily cap", "over the daily cap"),
        ("three hours until everybody's turn", "late"),
        ("no guard at closing", "valid past its closing"),
        ("opt-outs are forgotten", "after an opt-out"),
        ("reasons are forgotten", "unexplained"),
        ("sent texts are queued again, or called failed", "doubled"),
    ],
)
def test_when_something_is_wrong_the_checks_see_it(stack: Stack, wrong: str, seen: str) -> None:
    """A proof that cannot fail proves nothing."""
    report = two_days(stack, wrong)
    assert report.verdict[seen], f"\n{report}\n{report.verdict.found}"
