"""A judge keeps whatever it finds, and takes no rule from what it judges."""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

from tests.proofs.town.book import Book, Story
from tests.proofs.town.judge import judged
from tests.proofs.town.report import Kind, ProofReport, Verdict
from tests.proofs.town.texts import new_text
from tests.support.builders import NOON

_PROOFS = Path(__file__).parent
_JUDGES = (
    "oracles/*.py", "town/book.py", "town/judge.py", "town/luck.py", "town/report.py", "town/texts.py",
    "faults/carrier.py", "faults/deliveries.py", "fortnight/checks.py", "fortnight/people.py",
    "interleavings/invariants.py", "interleavings/said.py", "neighbors/report.py",
)  # fmt: skip
_MAY_KNOW = {
    "smsretry.local.stack": "to read the database",
    "smsretry.local.twilio.ledger": "to read the provider's own book",
    "smsretry.local.twilio.faults": "to say what the provider answers",
    "smsretry.adapters.desk": "to ask for the story that is judged",
    "smsretry.adapters.twilio.errors": "the same: the desk is connected with the provider's words",
    "smsretry.desk.actions.requests": "the same",
    "smsretry.retry.profile": "the same",
}
"""Modules of ours that judges name, each with what for."""


def test_no_finding_is_dropped_but_what_a_proof_excuses_with_a_reason() -> None:
    """Each kind is handed to the judge, and shown."""
    text = new_text("judges", "somebody", 0, NOON, phone=None)
    story = Story(name=text.name, rows=[], attempts=[], log=None, messages=[])
    book = Book({text.retry_id: story}, customers={}, sends={}, strays=[])
    for kind in get_args(Kind):
        verdict = judged(
            book, [text], Verdict(), lambda *_, kind=kind: iter([(kind, "seen")])
        )
        assert ProofReport({}, verdict).findings == [f"{kind}: {text.name}: seen"]
        excusing = Verdict({kind: "a reason"})
        excusing.add([(kind, "seen")])
        assert excusing.clean


def test_the_judges_share_no_rule_with_what_they_judge() -> None:
    """Modules of ours that they import, or read as files, are listed with what for. None is listed in vain."""
    judges = [path for pattern in _JUDGES for path in _PROOFS.glob(pattern)]
    assert len(judges) > len(_JUDGES)
    assert {name for judge in judges for name in _ours(judge)} == {*_MAY_KNOW}


def _ours(judge: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(judge.read_text(encoding="utf-8"))):
        match node:
            case ast.Import(names=names):
                modules = [alias.name for alias in names]
            case ast.ImportFrom(module=str(module)):
                modules = [module]
            case ast.Call(args=[ast.Constant(value=str(file)), *_]):
                modules = [file]
            case _:
                modules = []
        yield from (
            name for name in modules if name.split(".")[0] in ("smsretry", "flows")
        )
