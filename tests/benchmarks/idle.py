"""What a minute costs in which nothing is due, beside a bare flow. By hand: `python -m tests.benchmarks.idle`.

CPU is the process's own, import included; rows are those of Prefect's whole database.
"""

import time
from collections.abc import Sequence
from statistics import median

import psycopg
from psycopg import sql

from smsretry.local.prefect_server import DATABASE
from tests.benchmarks.rig import Rig, rig
from tests.benchmarks.table import show
from tests.support.options import parser

CONTENDERS = {
    "a bare flow": ["-m", "tests.benchmarks.bare"],
    "ours, idle": ["-c", "from flows.process_sms_retries import process_sms_retries as run; run()"],
    "smsretry process, idle": ["-m", "smsretry", "process"],
}
_TABLES = "select tablename from pg_tables where schemaname = 'public' order by 1"


def rows(at: Rig) -> dict[str, int]:
    """Of each of Prefect's tables."""
    with psycopg.connect(at.stack.postgres.url(DATABASE), autocommit=True) as connection:
        names = [name for (name,) in connection.execute(_TABLES)]
        counts = [connection.execute(sql.SQL("select count(*) from {}").format(sql.Identifier(n))) for n in names]
        return {name: int(count.fetchone()[0]) for name, count in zip(names, counts, strict=True)}  # type: ignore[index]


def settled(at: Rig) -> dict[str, int]:
    """The rows when the server has written what it was told."""
    before = rows(at)
    while True:
        time.sleep(3)
        now = rows(at)
        if now == before:
            return now
        before = now


def one(at: Rig, command: Sequence[str]) -> tuple[float, float, dict[str, int]]:
    """One run: its CPU, its time, and the rows that it left by table."""
    before = settled(at)
    done = at.run(command)
    after = settled(at)
    return done.cpu_seconds, done.seconds, {name: n - before.get(name, 0) for name, n in after.items()}


def main() -> None:
    """Measure, and print tables."""
    given = parser(__doc__, rounds=5).parse_args()
    with rig(prefect=True) as at:
        for command in CONTENDERS.values():
            one(at, command)
        found = [{name: one(at, command) for name, command in CONTENDERS.items()} for _ in range(given.rounds)]
    bare = median(each["a bare flow"][0] for each in found)
    told = []
    for name in CONTENDERS:
        cpu = median(each[name][0] for each in found)
        wrote = median(sum(each[name][2].values()) for each in found)
        told.append([name, cpu, cpu / bare, median(each[name][1] for each in found), int(wrote)])
    show("An idle minute", ["", "CPU s", "of bare", "s", "rows"], told)
    for name in CONTENDERS:
        print(name, {table: n for table, n in found[-1][name][2].items() if n})


if __name__ == "__main__":
    main()
