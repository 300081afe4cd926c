"""Eight o'clock: 10,000 texts of 200 businesses are due at once. By hand: `python -m tests.benchmarks.morning`.

Is the sender idle at any time, and does each business get its share? Beside them a newcomer has a few texts that come
due during the drain: a fair share is one text each time that every business has one. Then a flood of one business, and
one text of another: when does that one go out?
"""

import argparse
from collections import Counter
from datetime import datetime
from itertools import pairwise
from statistics import median

from tests.benchmarks.rig import Rig, rig
from tests.benchmarks.table import show

WORKER = ["-m", "smsretry", "process"]
_OWNER = """
select right(c.phone, 10) as number, c.business_id::text as business
from customers c join sms_retry_queue q on q.customer_id = c.id
"""
_ONE_OF_ANOTHER = """
with b as (insert into businesses (user_id, name, timezone)
           values (gen_random_uuid(), 'Small', 'America/New_York') returning id),
c as (insert into customers (business_id, phone, timezone, sms_consent_status)
      select id, '+12125540000', 'America/New_York', 'opted_in' from b returning id, business_id),
s as (insert into send_logs (business_id, customer_id, channel, subject)
      select business_id, id, 'sms', 'Hello' from c returning id, business_id, customer_id)
insert into sms_retry_queue (business_id, send_log_id, customer_id, scheduled_for)
select business_id, id, customer_id, smsretry.clock() from s
"""
_NEWCOMER = """
with b as (insert into businesses (user_id, name, timezone)
           values (gen_random_uuid(), 'Newcomer', 'America/New_York') returning id),
c as (insert into customers (business_id, phone, timezone, sms_consent_status)
      select id, '+1312' || (5550000 + n), 'America/New_York', 'opted_in' from b, generate_series(1, %(texts)s) n
      returning id, business_id),
s as (insert into send_logs (business_id, customer_id, channel, subject)
      select business_id, id, 'sms', 'Hello' from c returning id, business_id, customer_id)
insert into sms_retry_queue (business_id, send_log_id, customer_id, scheduled_for)
select business_id, id, customer_id, smsretry.clock() + make_interval(secs => %(ahead)s) from s
returning scheduled_for, business_id::text as business
"""
_FEW = 5
"""Texts of the newcomer."""


def owners(at: Rig) -> dict[str, str]:
    """The business of each number."""
    with at.stack.connect() as connection:
        return {row["number"]: row["business"] for row in connection.execute(_OWNER)}


def accepted(at: Rig) -> list[tuple[datetime, str]]:
    """When each text was taken, and whose number it was for, in order."""
    return sorted((entry.accepted_at, entry.to[-10:]) for entry in at.stack.twilio.ledger.entries())


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--texts", type=int, default=10_000)
    parser.add_argument("--businesses", type=int, default=200)
    parser.add_argument("--per-second", type=float, default=80)
    parser.add_argument("--milliseconds", type=float, default=100)
    parser.add_argument("--workers", type=int, default=1)
    given = parser.parse_args()
    with rig(prefect=False) as at:
        at.stack.twilio.seconds_each = given.milliseconds / 1000
        at.fill(given.texts, businesses=given.businesses)
        ahead = given.texts / given.per_second / 3
        with at.stack.connect() as connection:
            newcomer = connection.execute(_NEWCOMER, {"texts": _FEW, "ahead": ahead}).fetchone()
            told = at.stack.environment()
            connection.execute(
                "insert into smsretry.senders (account, sent_by, segments_per_second) values (%s, %s, %s)",
                [told["TWILIO_ACCOUNT_SID"], told["TWILIO_FROM_NUMBER"], given.per_second],
            )
        assert newcomer
        done = at.run_all([WORKER] * given.workers)
        whose, sends = owners(at), accepted(at)
        last = max(moment for moment, number in sends if whose[number] == newcomer["business"])
        meanwhile = sum(newcomer["scheduled_for"] < moment <= last for moment, _ in sends)
        seconds = Counter(int((moment - sends[0][0]).total_seconds() // 10) for moment, _ in sends)
        full = [seconds[n] / 10 / given.per_second for n in range(max(seconds))]
        half = Counter(whose[number] for _, number in sends[: len(sends) // 2])
        shares = sorted(half[business] for business in {*whose.values()} - {newcomer["business"]})
        fair = len(sends) / 2 / given.businesses
        longest = max((later[0] - one[0]).total_seconds() for one, later in pairwise(sends))
        rows: list[list[object]] = [
            ["texts a second", done.per_second],
            ["of the sender's rate, all the time", done.per_second / given.per_second],
            ["of it, the worst and the middle 10 s", f"{min(full):.2f} {median(full):.2f}"],
            ["longest pause, s", longest],
            ["smallest share when half are sent, of the fair one", shares[0] / fair],
            [f"texts sent until the newcomer's {_FEW} are, from their due time", meanwhile],
            ["the same by a fair share", _FEW * (given.businesses + 1)],
        ]
        show(f"{given.texts} texts of {given.businesses} businesses, {given.per_second:g} segments/s", ["", ""], rows)
        at.fill(given.texts, businesses=1)
        with at.stack.connect() as connection:
            connection.execute(_ONE_OF_ANOTHER)
        at.run(["-m", "smsretry", "process", "--limit", "1000"])
        place = [number for _, number in accepted(at)].index("2125540000") + 1
        show(f"{given.texts} texts of one business, one of another", ["", ""], [["the other's is number", place]])


if __name__ == "__main__":
    main()
