"""The most memory that a run has, what its texts leave in Prefect's database, and the memory of `smsretry up`. By hand.

`python -m tests.benchmarks.footprint`. `growth` has the bytes that a text leaves in our own tables.
"""

import argparse
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

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


def memory_of_up(seconds: float) -> dict[str, float]:
    """MB of `smsretry up` after so long, by program. Memory that processes share is told in parts (Linux's PSS)."""
    with TemporaryDirectory(prefix="smsretry-benchmark-") as directory:
        up = subprocess.Popen(
            [sys.executable, "-m", "smsretry", "up", "--data-dir", directory, "--port", str(free_port())],
            stdout=subprocess.DEVNULL,
        )
        try:
            time.sleep(seconds)
            found = dict[str, float]()
            for process in [up.pid, *_descendants(up.pid)]:
                name = "PostgreSQL" if _read(process, "comm").startswith("postgres") else "Python"
                pss = [
                    line.split()[1] for line in _read(process, "smaps_rollup").splitlines() if line.startswith("Pss:")
                ]
                found[name] = found.get(name, 0) + sum(map(int, pss)) / 1024
            return found
        finally:
            up.terminate()
            up.wait(120)


def _read(process: int, name: str) -> str:
    try:
        return Path(f"/proc/{process}/{name}").read_text()
    except OSError:  # it has ended
        return ""


def _descendants(process: int) -> list[int]:
    children = [int(child) for task in Path(f"/proc/{process}/task").glob("*") for child in _children(task)]
    return [*children, *(below for child in children for below in _descendants(child))]


def _children(task: Path) -> list[str]:
    try:
        return (task / "children").read_text().split()
    except OSError:
        return []


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
    show("smsretry up", ["", "MB"], [[name, round(mb)] for name, mb in memory_of_up(given.up_seconds).items()])


if __name__ == "__main__":
    main()
