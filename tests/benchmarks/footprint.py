"""The most memory that a run has, what its texts leave in Prefect's database, and the memory of `smsretry up`. By hand.

`python -m tests.benchmarks.footprint`. `growth` has the bytes that a text leaves in our own tables.
"""

import argparse
import subprocess
import sys
import time
from contextlib import suppress
from tempfile import TemporaryDirectory

import psutil
import psycopg

from smsretry.local.prefect_server import DATABASE
from smsretry.local.process.http import free_port
from tests.benchmarks.drain import FLOW
from tests.benchmarks.rig import Rig, rig
from tests.benchmarks.table import show

PROCESS = ["-m", "smsretry", "process"]
CONTENDERS = {
    "smsretry process": (PROCESS, "0"),
    "flow, slices of 25": (FLOW, "0"),
    "flow, a task run each": (FLOW, "{}"),
}


def size(at: Rig) -> int:
    """Bytes of Prefect's database when the server has written what it was told."""
    before = -1
    while True:
        with psycopg.connect(at.stack.postgres.url(DATABASE), autocommit=True) as connection:
            found = connection.execute("select pg_database_size(current_database())").fetchone()
        assert found is not None
        if found[0] == before:
            return before
        before = int(found[0])
        time.sleep(3)


def memory_of_up(seconds: float) -> tuple[dict[str, float], dict[str, float]]:
    """MB of `smsretry up` by program, in the minute after so long: the least, between runs, and the most, in one."""
    with TemporaryDirectory(prefix="smsretry-benchmark-") as directory:
        up = subprocess.Popen(
            [sys.executable, "-m", "smsretry", "up", "--data-dir", directory, "--port", str(free_port())],
            stdout=subprocess.DEVNULL,
        )
        try:
            time.sleep(seconds)
            found = []
            for _ in range(60):
                found.append(_memory(psutil.Process(up.pid)))
                time.sleep(1)
            return min(found, key=_total), max(found, key=_total)
        finally:
            up.terminate()
            up.wait(120)


def _memory(process: psutil.Process) -> dict[str, float]:
    """MB of it and of all below it. What processes share is told in parts (Linux's PSS)."""
    found = dict[str, float]()
    for one in [process, *process.children(recursive=True)]:
        with suppress(psutil.NoSuchProcess):  # a run that has ended meanwhile
            name = "PostgreSQL" if one.name().startswith("postgres") else "Python"
            found[name] = found.get(name, 0) + one.memory_full_info().pss / 1e6
    return found


def _total(memory: dict[str, float]) -> float:
    return sum(memory.values())


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--texts", type=int, default=1000)
    parser.add_argument("--up-seconds", type=float, default=150, help="after how long `smsretry up` is measured")
    given = parser.parse_args()
    rows = []
    with rig(prefect=True) as at:
        for name, (command, task_runs) in CONTENDERS.items():
            for texts in (0, given.texts):
                at.fill(texts)
                before = size(at)
                done = at.run(command, SMSRETRY_TASK_RUNS=task_runs.format(given.texts))
                assert done.sends == texts, f"{name} made {done.sends} sends of {texts}"
                left = size(at) - before
                rows.append([name, texts, round(done.peak_mb), round(left / 1000), round(left / max(texts, 1))])
    show("A run", ["", "texts", "peak MB", "kB in Prefect's database", "bytes a text, or a run"], rows)
    least, most = memory_of_up(given.up_seconds)
    show("smsretry up, MB", ["", "least", "most"], [[name, round(least[name]), round(most[name])] for name in most])


if __name__ == "__main__":
    main()
