"""The proof in short: `python -m tests.proofs.interrupts --times 200` is the long one."""

import pytest

from tests.proofs.interrupts.plans import Plan, aimed, plans
from tests.proofs.interrupts.report import run

pytestmark = pytest.mark.long


def test_ctrl_c_leaves_nothing_running_and_deletes_nothing_of_anybody_elses() -> None:
    """In the first second, as PostgreSQL is being started, pressed twice, and in a directory that is not ours."""
    tries = [
        *plans(1, seed="2"),
        *aimed(1, seed="1"),
        Plan("up with data", 1, 0.1, again_after=0.1),
        Plan("somebody else's directory", None, 1.0, None),
    ]
    report = run(tries, jobs=2)
    assert report.clean, "\n".join([str(report), *report.details()])


def test_without_the_guards_mending_ctrl_c_leaves_postgresql_running() -> None:
    """A proof that cannot fail proves nothing."""
    report = run(aimed(1, seed="1"), jobs=1, mended=False)
    assert report.left_running, f"\n{report}"
