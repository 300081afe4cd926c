"""By the command line alone, given the customer's id."""

import subprocess
import sys
from collections.abc import Mapping
from uuid import UUID

from smsretry.local.demo.run import ROOT
from tests.e2e.at_the_desk.diary import Diary


def by_command(environment: Mapping[str, str], customer: UUID, code: int, diary: Diary) -> None:
    """The same, by `smsretry`."""

    def smsretry(*words: str, code: int = 0) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "smsretry", *words],
            capture_output=True,
            text=True,
            timeout=60,
            cwd=ROOT,
            env=dict(environment),
            check=False,
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr

    which = ("--customer", str(customer))
    told = smsretry("explain", *which)
    assert f"code {code}" in told, told
    assert "send it again, with every check (smsretry texts requeue --row " in told, told
    diary.note("explain says why, and what can be done")

    told = smsretry("texts", "requeue", *which, "--code", "0", code=64)
    assert "--code must be 1 or more" in told, told
    diary.note("A bad option is refused in words")
    told = smsretry("texts", "requeue", *which)
    assert "Would requeue 1 of 1 that match." in told, told
    diary.note("requeue says what it would do")
    told = smsretry("texts", "requeue", *which, "--yes", "--who", "Ann", "--because", "The sender was mended")
    assert "Requeued 1 of 1 that match." in told, told
    diary.note("requeue does it")

    smsretry("process")
    told = smsretry("explain", *which)
    assert told.startswith("Sent, accepted by the provider"), told
    assert "requeued by Ann: The sender was mended" in told, told
    diary.note("A run takes it at once; explain says that it was sent, and who had it sent")
