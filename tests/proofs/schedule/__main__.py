"""`python -m tests.proofs.schedule --minutes 60`: runners are started, stopped and killed in random order.

The schedule never stops unnoticed: while a runner is alive, runs complete; when none is, somebody is told; when one
comes back, runs complete again, and no more than a few late ones wait. The receiver has what it should, and no more.
"""

import argparse
import sys
import tempfile
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random

from smsretry.local.prefect_server import PrefectServer
from smsretry.local.stack import Stack
from tests.proofs.schedule.alarm import SILENT, install_in_a_hurry, unexplained, unnoticed
from tests.proofs.schedule.crew import Crew, crew
from tests.support.receiver import receiving

_PATIENCE = timedelta(seconds=90)
_MOST = 3


def main() -> int:
    """Run the proof; 1 if something was not as it should be."""
    parser = argparse.ArgumentParser(prog="python -m tests.proofs.schedule", description=__doc__)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--every-seconds", type=float, default=6, help="the schedule")
    options = parser.parse_args()
    silence = timedelta(seconds=max(10, 4 * options.every_seconds))
    with tempfile.TemporaryDirectory() as folder, Stack(Path(folder)) as stack:
        with PrefectServer(Path(folder, "prefect"), stack.postgres) as server, receiving() as receiver:
            api_url = f"{server.url}/api"
            with crew(api_url, {**server.environment(), **stack.environment()}, Path(folder)) as runners:
                runners.every_seconds = options.every_seconds
                runners.start()
                runners.completes(_PATIENCE)
                install_in_a_hurry(api_url, receiver.block(api_url), silence)
                began = datetime.now(UTC)
                done, troubles = _play(runners, Random(options.seed), began + timedelta(minutes=options.minutes))
                completed = runners.completed_since(began)
                ended = len(runners.runs(type={"any_": ["CRASHED", "FAILED"]}))
                time.sleep(20)  # the last alerts arrive
                troubles += [f"not explained: {line}" for line in unexplained(receiver, completed, ended, silence)]
                troubles += [
                    f"not noticed: {line}" for line in unnoticed(receiver, completed, datetime.now(UTC), silence)
                ]
        stack.postgres.remove()
    say(f"{options.minutes:g} minutes, seed {options.seed}: {dict(done)}; {len(completed)} runs completed,")
    say(f"{ended} crashed or failed; alerts: {len(receiver.about(SILENT))} of a silence, {len(receiver.alerts)} in all")
    say("\n".join(troubles) or "The schedule never stopped unnoticed, and nothing was told without a reason.")
    return 1 if troubles else 0


def say(line: str) -> None:
    """On the terminal."""
    sys.stdout.write(f"{line}\n")


def _play(runners: Crew, dice: Random, until: datetime) -> tuple[Counter[str], list[str]]:
    """Random moves until the time is over; what was done, and what was wrong."""
    done: Counter[str] = Counter()
    troubles = []
    while datetime.now(UTC) < until:
        move = dice.choice(["start", "stop", "kill", "power", "run", "nobody"])
        done[move] += _moved(runners, move, dice)
        if runners.deployment()["paused"]:
            troubles.append(f"paused after {move}")
        try:
            runners.completes(_PATIENCE)
        except AssertionError as error:
            troubles.append(f"after {move}: {error}")
        if (late := runners.waiting_long(timedelta(seconds=90))) > 2:
            troubles.append(f"after {move}: {late} late runs wait")
        time.sleep(dice.uniform(0, 5))
    return done, troubles


def _moved(runners: Crew, move: str, dice: Random) -> int:
    """Make the move where it can be made; 1 if it was. A last runner that goes is replaced, later or sooner."""
    which = dice.randrange(len(runners.alive)) if runners.alive else 0
    match move:
        case "start" if len(runners.alive) < _MOST:
            runners.start()
        case "stop" if runners.alive:
            runners.stop(which)
        case "kill" if runners.alive:
            runners.kill(which, with_runs=False)
        case "power" if runners.alive:
            runners.kill(which)
        case "run":
            return int(_killed_soon(runners))
        case "nobody":
            runners.all_stop()
            time.sleep(dice.uniform(10, 150))
        case _:
            return 0
    if not runners.alive:
        runners.start()
    return 1


def _killed_soon(runners: Crew) -> bool:
    """A run, as soon as one is under way; whether one was."""
    until = datetime.now(UTC) + _PATIENCE
    while not (killed := runners.kill_a_run()) and datetime.now(UTC) < until:
        time.sleep(0.05)
    return killed


if __name__ == "__main__":
    sys.exit(main())
