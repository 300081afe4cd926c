"""`python -m tests.proofs.side_by_side --minutes 60`: both schedules that run every minute, and each of them alone.

`smsretry up` runs three times at once: as deployed, with `process-sms-retries` alone, and with
`process-scheduled-sends` alone. Each gets the same texts, due at random instants, and the same deaths: runs are killed
at random. Neither schedule may delay the other or stop, and each text must go out exactly once. Exits with 1 if
something is not as it should be.
"""

import argparse
import sys
import tempfile
import time
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from tests.e2e.browser import Browser, NotSeen, chromium
from tests.proofs.side_by_side.report import delays, seen, tell
from tests.proofs.side_by_side.stands import RETRIES, SENDS, Stand, killing, stand
from tests.proofs.side_by_side.texts import open_texts, plan

_LOOK_EVERY_SECONDS: Final = 15
_LAST_RUNS_SECONDS: Final = 75
_PATIENCE: Final = timedelta(minutes=30)
"""For the last texts to end: one whose worker died is taken back after ten minutes, and looked for."""


def main() -> int:
    """Run the proof; 1 if something was not as it should be."""
    parser = argparse.ArgumentParser(prog="python -m tests.proofs.side_by_side", description=__doc__)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--per-minute", type=float, default=30, help="texts of each kind")
    parser.add_argument("--picture", type=Path, help="keep a picture of Prefect's page of deployments in this file")
    options = parser.parse_args()
    if options.picture and not chromium():
        parser.error("a picture needs Chromium on the PATH")
    with tempfile.TemporaryDirectory() as folder, ExitStack() as running:
        beside = running.enter_context(stand(Path(folder, "both"), "both", ("queued", "scheduled")))
        retries = running.enter_context(stand(Path(folder, "a"), "alone", ("queued",), alone=RETRIES, second=20))
        sends = running.enter_context(stand(Path(folder, "b"), "alone", ("scheduled",), alone=SENDS, second=40))
        stands = [beside, retries, sends]
        time.sleep(60)  # what was scheduled before is over, and each schedule has come once
        began = datetime.now(UTC)
        _play(stands, options.minutes, options.per_minute, options.seed)
        ended = datetime.now(UTC)
        if options.picture:
            _take_picture(beside, options.picture)
        _let_end(beside, retries)
        found = [seen(one, began, ended) for one in stands]
    tell([(one.name, numbers) for one, numbers in zip(stands, found, strict=True)])
    troubles = [trouble for numbers in found for trouble in numbers.troubles] + delays(found[0], found[1:])
    sys.stdout.write("\n" + "\n".join(troubles or ["Both schedules went on, and neither delayed the other."]) + "\n")
    return 1 if troubles else 0


def _play(stands: list[Stand], minutes: float, per_minute: float, seed: int) -> None:
    """InFlight the texts over as their time comes, kill, and look, until the time is over."""
    coming, began, looked = plan(minutes, per_minute, seed), time.monotonic(), 0.0
    with killing(stands, minutes, seed):
        while (now := time.monotonic() - began) < minutes * 60:
            while coming and coming[0].at <= now:
                text = coming.pop(0)
                for one in stands:
                    one.take(text)
            if now > looked + _LOOK_EVERY_SECONDS:
                looked = now
                for one in stands:
                    one.look()
            time.sleep(0.05)


def _let_end(*stands: Stand) -> None:
    """Wait for the last runs and for the texts that wait, and note those that never end."""
    time.sleep(_LAST_RUNS_SECONDS)
    until = datetime.now(UTC) + _PATIENCE
    while (left := [open_texts(one.up) for one in stands]) != [0] * len(stands) and datetime.now(UTC) < until:
        for one in stands:
            one.look()
        time.sleep(5)
    for one, count in zip(stands, left, strict=True):
        if count:
            one.troubles.add(f"{count} texts never ended")


def _take_picture(of: Stand, file: Path) -> None:
    with Browser() as page:
        page.go(f"{of.up.url}/deployments")
        for name in of.schedules:
            try:
                page.sees(name)
            except NotSeen:
                of.troubles.add(f"Prefect's page of deployments does not show {name}")
        page.picture(file)


if __name__ == "__main__":
    sys.exit(main())
