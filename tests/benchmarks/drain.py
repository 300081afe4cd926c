"""How fast a backlog drains, beside the ideal and other ways to send. By hand: `python -m tests.benchmarks.drain`.

Everything runs on this machine: the worker, Prefect's server, PostgreSQL, the endpoint and Twilio's stand-in, whose CPU
time is shown apart. The floor is what sends without any queue: as many threads and the Twilio SDK. dramatiq with Redis
and procrastinate with PostgreSQL are measured where they are installed (`others` says how). What is compared takes
turns, so that a noisy minute strikes all of it.

--milliseconds: what one send takes at Twilio.
--beside: the folder of another commit, whose `smsretry process` takes part.
"""

import os
import subprocess
import sys
from argparse import Namespace
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median

from tests.benchmarks.others import queues
from tests.benchmarks.rig import Done, Rig, rig
from tests.benchmarks.table import show
from tests.support.options import parser

OTHERS = ["-m", "tests.benchmarks.others", "--which"]
FLOW = [
    "-c",
    "from flows.process_sms_retries import process_sms_retries as run; run(drain_seconds=0)",
]
MOST_TASK_RUNS = 2000
"""The setting's upper bound."""


@dataclass(frozen=True)
class Contender:
    """One way to send, and how its worker is started."""

    command: Sequence[str]
    settings: Mapping[str, str] = field(default_factory=dict)
    before: Sequence[str] = ()
    """What queues its jobs, if our own tables do not hold them."""


def contenders(
    options: Namespace, installed: Mapping[str, Mapping[str, str]]
) -> dict[str, Contender]:
    """Who takes part."""
    size = ["--texts", str(options.texts), "--at-once", str(options.at_once)]
    entrants = {"threads + SDK, no queue": Contender([*OTHERS, "threads", *size])}
    for name, settings in installed.items():
        work = [*OTHERS, name, *size]
        entrants[name] = Contender(work, settings, before=[*work, "--only-queue"])
    entrants["smsretry process"] = Contender(["-m", "smsretry", "process"])
    if not options.without_prefect:
        entrants["flow, slices of 25"] = Contender(FLOW, {"SMSRETRY_TASK_RUNS": "0"})
        if options.texts <= MOST_TASK_RUNS:
            entrants["Prefect's task runs + SDK, no queue"] = Contender(
                [*OTHERS, "prefect", *size]
            )
            entrants["flow, a task run each"] = Contender(
                FLOW, {"SMSRETRY_TASK_RUNS": str(options.texts)}
            )
    return entrants


def measure(at: Rig, contender: Contender, texts: int, at_once: int) -> Done:
    """One contender, once."""
    at.fill(texts)
    settings = {"SMSRETRY_CONCURRENCY": str(at_once), **contender.settings}
    if contender.before:
        at.run(contender.before, **settings)
    drain = at.run(contender.command, **settings)
    assert drain.sends == texts, (
        f"{contender.command} made {drain.sends} sends of {texts}"
    )
    return drain


def beside(folder: str, options: Namespace) -> list[str]:
    """What another commit's own benchmark says of its `smsretry process`, once."""
    result = subprocess.run(
        [
            *(sys.executable, "-m", "tests.benchmarks.drain", "--without-prefect"),
            *("--rounds", "1", "--texts", str(options.texts)),
            *("--milliseconds", str(options.milliseconds)),
            *("--at-once", str(options.at_once)),
        ],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": folder},
        check=True,
        capture_output=True,
        text=True,
    )
    name = "smsretry process"
    [row] = [row for row in result.stdout.splitlines() if row.startswith(name)]
    return row.removeprefix(name).split()


def main() -> None:
    """Measure, and print a table."""
    sizes = {"texts": 1000, "at_once": 50, "rounds": 3}
    options = parser(
        __doc__, milliseconds=200.0, beside="", without_prefect=False, **sizes
    ).parse_args()
    ideal = options.texts * options.milliseconds / 1000 / options.at_once
    other_rows: list[list[str]] = []
    with (
        rig(
            prefect=not options.without_prefect, milliseconds=options.milliseconds
        ) as at,
        queues(at.stack.postgres) as installed,
    ):
        taking_part = contenders(options, installed)
        results: dict[str, list[Done]] = {name: [] for name in taking_part}
        for _ in range(options.rounds):
            for name, contender in taking_part.items():
                results[name].append(
                    measure(at, contender, options.texts, options.at_once)
                )
            if options.beside:
                other_rows.append(beside(options.beside, options))
    title = (
        f"{options.texts} texts, {options.milliseconds:g} ms each, {options.at_once} at once; "
        f"the ideal is {ideal:.1f} s"
    )
    headings = ["first to last, s", "of ideal", "texts/s", "CPU: worker", "database"]
    show(
        title,
        ["", *headings, "stand-ins, ms a text", "process, s", "most at once"],
        [_row(name, drains, options.texts, ideal) for name, drains in results.items()],
    )
    if other_rows:
        there, here = (
            median(float(row[0]) for row in other_rows),
            median(drain.first_to_last for drain in results["smsretry process"]),
        )
        print(
            f"\n{options.beside}: {there:.2f} s; this is {there / here:.2f} × as fast"
        )


def _row(name: str, drains: Sequence[Done], texts: int, ideal: float) -> list[object]:
    span = median(d.first_to_last for d in drains)
    parts = ("cpu_seconds", "database_seconds", "standins_seconds")
    cpu = [1000 * median(getattr(d, part) for d in drains) / texts for part in parts]
    return [
        name,
        span,
        span / ideal if ideal else "-",
        round(texts / span),
        *cpu,
        median(d.seconds for d in drains),
        max(d.most_at_once for d in drains),
    ]


if __name__ == "__main__":
    main()
