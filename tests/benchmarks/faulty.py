"""The same faults for each way to send. By hand: `python -m tests.benchmarks.faulty`. How fast each is tells `drain`.

Of each 20 texts the answer to one is lost after Twilio has accepted it, and one is refused at first by a passing error.
The worker is killed when a third of the texts has left, and again after two thirds. Then it works to the end: ours
while the clock moves on by two hours, in which it looks for what a killed worker may have sent. The job queues do a job
again that failed or whose worker died, as their documents advise. Twilio's ledger tells what became of each text.
"""

import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import timedelta

from smsretry.local.twilio.faults import AcceptThenDrop, HtmlError
from tests.benchmarks.others import queues
from tests.benchmarks.rig import Rig, rig
from tests.benchmarks.table import show
from tests.support.options import parser

_OTHERS = ["-m", "tests.benchmarks.others", "--at-once", "20", "--which"]
_OURS = ["-m", "smsretry", "process"]
_SILENCE = 8
"""Seconds after which a job queue here may take a worker for dead."""
_PATIENCE = 120


def _number(n: int) -> str:
    return f"+1212{5550000 + n}"


def _plan(at: Rig, texts: int) -> None:
    at.stack.twilio.heal()
    for n in range(1, texts + 1):
        if n % 20 == 7:
            at.stack.twilio.fail(AcceptThenDrop(), to=_number(n))
        if n % 20 == 13:
            at.stack.twilio.fail(HtmlError(), to=_number(n))


def _work(
    at: Rig, command: Sequence[str], environment: Mapping[str, str], kill_at: int | None
) -> None:
    """Let a worker work to its end, or until Twilio has so many texts."""
    worker = subprocess.Popen(
        [sys.executable, *command],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    until = time.monotonic() + _PATIENCE
    while worker.poll() is None and time.monotonic() < until:
        if kill_at is not None and len(at.entries) >= kill_at:
            break
        time.sleep(0.01)
    if worker.poll() is None:
        worker.send_signal(signal.SIGKILL)
    worker.wait()


def _fates(at: Rig, name: str, texts: int, settings: Mapping[str, str]) -> list[object]:
    at.fill(texts)
    _plan(at, texts)
    environment = at.environment(SMSRETRY_CONCURRENCY="20", **settings)
    ours, size = name == "smsretry", ["--texts", str(texts)]
    command = _OURS if ours else [*_OTHERS, name, *size]
    if not ours:
        subprocess.run(
            [sys.executable, *command, "--only-queue"], env=environment, check=True
        )
    for third in (texts // 3, 2 * texts // 3):
        _work(at, command, environment, third)
    if ours:
        for _ in range(24):
            _work(at, command, environment, None)
            at.stack.move_clock(timedelta(minutes=5))
    else:
        time.sleep(_SILENCE)
        _work(at, [*command, "--after-kill"], environment, None)
    sent = Counter(entry.to for entry in at.entries)
    at.stack.twilio.heal()
    return [name, texts, texts - len(sent), sum(times > 1 for times in sent.values())]


def main() -> None:
    """Measure, and print a table."""
    options = parser(__doc__, texts=400, milliseconds=50.0).parse_args()
    with (
        rig(milliseconds=options.milliseconds) as at,
        queues(at.stack.postgres) as installed,
    ):
        ways: dict[str, Mapping[str, str]] = {**installed, "smsretry": {}}
        rows = [
            _fates(at, name, options.texts, settings) for name, settings in ways.items()
        ]
    show(
        "Lost answers, passing errors, and a worker that is killed twice",
        ["", "texts", "lost", "doubled"],
        rows,
    )


if __name__ == "__main__":
    main()
