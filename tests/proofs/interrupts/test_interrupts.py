"""The proof in short: `python -m tests.proofs.interrupts --times 200` is the long one."""

import pytest

from tests.proofs.interrupts.tries import Plan, aimed, run

pytestmark = pytest.mark.long


def test_ctrl_c_leaves_nothing_running_and_deletes_nothing_of_anybody_elses() -> None:
    """In the first second, as PostgreSQL is being started, pressed twice, and in a directory that is not ours."""
    tries = [
        Plan("demo", None, 0.7),
        Plan("up", 1, 0.05),
        Plan("up with data", 1, 0.1, again_after=0.1),
        Plan("somebody else's directory", None, 1.0),
    ]
    report = run(tries, jobs=2)
    assert report.clean, report.tell()


def test_without_the_guard_ctrl_c_leaves_postgresql_running() -> None:
    """A proof that cannot fail proves nothing."""
    report = run(aimed(1, seed="1"), jobs=1, mended=False)
    assert report.verdict["left running"], report.tell()
