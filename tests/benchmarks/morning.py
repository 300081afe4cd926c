"""Eight o'clock: 10,000 texts of 200 businesses are due at once. By hand: `python -m tests.benchmarks.morning`.

Is the sender idle at any time, and does each business get its share? Beside them a newcomer has a few texts that come
due during the drain: a fair share is one text each time that every business has one. Then a flood of one business, and
one text of another: when does that one go out?
"""

from collections import Counter
from datetime import datetime, timedelta
from itertools import pairwise
from statistics import median

from tests.benchmarks.rig import Rig, rig
from tests.benchmarks.table import show
from tests.support.options import parser

WORKER = ["-m", "smsretry", "process"]
_OWNER = """
select right(c.phone, 10) as number, c.business_id from customers c join sms_retry_queue q on q.customer_id = c.id
"""
_FEW = 5
"""Texts of the newcomer."""


def accepted(at: Rig) -> list[tuple[datetime, str]]:
    """When each text was taken, and whose number it was for, in order."""
    return sorted((entry.accepted_at, entry.to[-10:]) for entry in at.entries)


def main() -> None:
    """Measure, and print a table."""
    options = {
        "texts": 10_000,
        "businesses": 200,
        "per_second": 80.0,
        "milliseconds": 100.0,
        "workers": 1,
    }
    chosen = parser(__doc__, **options).parse_args()
    with rig(milliseconds=chosen.milliseconds) as at:
        at.fill(chosen.texts, businesses=chosen.businesses)
        ahead = chosen.texts / chosen.per_second / 3
        due_at = at.stack.now() + timedelta(seconds=ahead)
        newcomers = at.queue(
            "newcomer", *(f"+1312555{n:04}" for n in range(_FEW)), due_at=due_at
        )
        with at.stack.connect() as connection:
            environment = at.stack.environment()
            connection.execute(
                "insert into smsretry.senders (account, sent_by, segments_per_second) values (%s, %s, %s)",
                [
                    environment["TWILIO_ACCOUNT_SID"],
                    environment["TWILIO_FROM_NUMBER"],
                    chosen.per_second,
                ],
            )
        drain, sends = at.run_all([WORKER] * chosen.workers), accepted(at)
        with at.stack.connect() as connection:
            whose = {
                row["number"]: row["business_id"] for row in connection.execute(_OWNER)
            }
        last_newcomer = max(
            moment for moment, number in sends if whose[number] == newcomers
        )
        meanwhile = sum(due_at < moment <= last_newcomer for moment, _ in sends)
        seconds = Counter(
            int((moment - sends[0][0]).total_seconds() // 10) for moment, _ in sends
        )
        full = [seconds[n] / 10 / chosen.per_second for n in range(max(seconds))]
        half = Counter(whose[number] for _, number in sends[: len(sends) // 2])
        shares = sorted(half[business] for business in {*whose.values()} - {newcomers})
        fair = len(sends) / 2 / chosen.businesses
        longest = max(
            (later[0] - earlier[0]).total_seconds()
            for earlier, later in pairwise(sends)
        )
        rows: list[list[object]] = [
            ["texts a second", drain.per_second],
            [
                "of the sender's rate, all the time",
                drain.per_second / chosen.per_second,
            ],
            [
                "of it, the worst and the middle 10 s",
                f"{min(full):.2f} {median(full):.2f}",
            ],
            ["longest pause, s", longest],
            ["smallest share when half are sent, of the fair one", shares[0] / fair],
            [
                f"texts sent until the newcomer's {_FEW} are, from their due time",
                meanwhile,
            ],
            ["the same by a fair share", _FEW * (chosen.businesses + 1)],
        ]
        show(
            f"{chosen.texts} texts of {chosen.businesses} businesses, {chosen.per_second:g} segments/s",
            ["", ""],
            rows,
        )
        at.fill(chosen.texts, businesses=1)
        at.queue("another", "+12125540000", due_at=at.stack.now())
        at.run(["-m", "smsretry", "process", "--limit", "1000"])
        place = [number for _, number in accepted(at)].index("2125540000") + 1
        show(
            f"{chosen.texts} texts of one business, one of another",
            ["", ""],
            [["the other's is number", place]],
        )


if __name__ == "__main__":
    main()
