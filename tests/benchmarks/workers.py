"""One, two and four workers on one database. By hand: `python -m tests.benchmarks.workers`.

Each is a process of its own that drains the same backlog. Where there are fewer cores than workers, this tells the cost
of company rather than its gain. That nobody is texted twice is checked in any case.
"""

import argparse
from statistics import median

from tests.benchmarks.rig import Done, rig
from tests.benchmarks.table import show

WORKER = ["-m", "smsretry", "process"]
CREWS = (1, 2, 4)


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--texts", type=int, default=2000)
    parser.add_argument("--milliseconds", type=float, default=50, help="what one send takes at Twilio")
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    results: dict[int, list[Done]] = {crew: [] for crew in CREWS}
    with rig(prefect=False) as at:
        at.stack.twilio.seconds_each = given.milliseconds / 1000
        for _ in range(given.rounds):
            for crew in CREWS:
                at.fill(given.texts)
                done = at.run_all([WORKER] * crew)
                doubled = done.sends - len({entry.to for entry in at.stack.twilio.ledger.entries()})
                assert (done.sends, doubled) == (given.texts, 0)
                results[crew].append(done)
    rows = [
        [f"{crew} workers", median(d.first_to_last for d in done), median(d.per_second for d in done), 0]
        for crew, done in results.items()
    ]
    title = f"{given.texts} texts, {given.milliseconds:g} ms each"
    show(title, ["", "first to last, s", "texts/s", "doubled"], rows)


if __name__ == "__main__":
    main()
