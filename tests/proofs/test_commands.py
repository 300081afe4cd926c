"""The commands of the proofs, as the pages name them: each takes a small step, so that none dies unseen."""

import re
import subprocess
import sys
from pathlib import Path
from shlex import split
from typing import Final

import pytest

_ROOT: Final = Path(__file__).parents[2]
_SMALL: Final = {
    "tests.benchmarks.oracle_quiet_hours": "--every 240 --first-year 2027 --last-year 2027 --zone Africa/Cairo",
    "tests.proofs.faults": "--texts 5",
    "tests.proofs.fortnight": "--texts 10 --days 1",
    "tests.proofs.interleavings": "--depth 2 --stage 'with unread words'",
    "tests.proofs.neighbors": "--poor --texts 5 --minutes 5",
}


def test_each_command_of_a_proof_has_a_small_step() -> None:
    """Those that the tests' page shows by themselves; the benchmarks stand in its table."""
    page = (_ROOT / "tests/README.md").read_text(encoding="utf-8")
    assert {*re.findall(r"^python -m (tests\.\S+)", page, re.MULTILINE)} == {*_SMALL}


@pytest.mark.parametrize("command", _SMALL)
def test_a_command_of_a_proof_takes_a_small_step_and_finds_nothing(
    command: str,
) -> None:
    """In a process of its own, as a person starts it."""
    ran = subprocess.run(
        [sys.executable, "-m", command, *split(_SMALL[command])],
        cwd=_ROOT,
        check=False,
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr[-4000:]
    assert ran.stdout
