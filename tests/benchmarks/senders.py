"""Very many senders, each with a rate of its own. By hand: `python -m tests.benchmarks.senders`.

Each business has a sender of its own, and all texts are due at once. First without rates: what this machine sends. Then
with them, for so long: which share of what the rates allow was sent, by all senders together and by each; and whether
any was ever above its own, by what Twilio's stand-in took.
"""

import argparse
from collections.abc import Sequence
from datetime import datetime, timedelta
from statistics import median

from tests.benchmarks.rig import Done, Rig, rig
from tests.benchmarks.table import show

WORKER = ["-m", "smsretry", "process"]
WINDOW = timedelta(seconds=3)
"""A sender's segments are counted in every stretch of this length."""
_SENDERS = """
with s as (
    insert into smsretry.senders (account, sent_by, segments_per_second)
    select %(account)s, u.* from unnest(%(services)s::text[], %(rates)s::float8[]) u returning id
)
insert into smsretry.business_senders (business_id, sender_id)
select b.id, s.id from (select id, row_number() over () as n from businesses) b
join (select id, row_number() over () as n from s) s using (n)
"""
_EMPTY = "truncate smsretry.business_senders, smsretry.senders"


def services(count: int) -> list[str]:
    """SIDs of messaging services."""
    return [f"MG{number:032x}" for number in range(1, count + 1)]


def drain(at: Rig, rates: Sequence[float | None], texts: int, workers: int, seconds: int) -> Done:
    """Send them all, or what can be sent in this time, each business's from its own sender."""
    senders = len(rates)
    with at.stack.connect() as connection:
        connection.execute(_EMPTY)
    at.fill(texts, businesses=senders)
    account = at.stack.environment()["TWILIO_ACCOUNT_SID"]
    with at.stack.connect() as connection:
        connection.execute(_SENDERS, {"account": account, "rates": list(rates), "services": services(senders)})
    command = [*WORKER, "--limit", str(texts), "--drain-seconds", str(seconds)]
    done = at.run_all([command] * workers)
    assert len({entry.to for entry in at.stack.twilio.ledger.entries()}) == done.sends, "somebody was texted twice"
    return done


def most_in_a_window(moments: Sequence[datetime]) -> int:
    """The most texts of a sender in any stretch of that length. They are in order."""
    first, most = 0, 0
    for last, moment in enumerate(moments):
        while moments[first] <= moment - WINDOW:
            first += 1
        most = max(most, last - first + 1)
    return most


def taken(at: Rig, senders: int) -> list[list[datetime]]:
    """When each sender's texts were taken, in order."""
    of_each: dict[str | None, list[datetime]] = {service: [] for service in services(senders)}
    for entry in at.stack.twilio.ledger.entries():
        of_each[entry.messaging_service_sid].append(entry.accepted_at)
    return [sorted(moments) for moments in of_each.values()]


def shares(of_each: Sequence[Sequence[datetime]], rates: Sequence[float], texts: int) -> list[float]:
    """Which share of what its rate allows each sender reached, until its last text, or until the last of all."""
    began = min(moments[0] for moments in of_each if moments)
    ended = max(moments[-1] for moments in of_each if moments)
    found = []
    for moments, rate in zip(of_each, rates, strict=True):
        until = moments[-1] if len(moments) == texts else ended
        allowed = 1 + int((until - began).total_seconds() * rate)
        found.append(len(moments) / min(allowed, texts))
    return found


def share_of_all(of_each: Sequence[Sequence[datetime]], rates: Sequence[float], texts: int) -> float:
    """Which share was sent, until the last text of all, of what the rates allow and was there to be sent."""
    began = min(moments[0] for moments in of_each if moments)
    seconds = (max(moments[-1] for moments in of_each if moments) - began).total_seconds()
    return sum(map(len, of_each)) / sum(min(1 + int(seconds * rate), texts) for rate in rates)


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--senders", type=int, default=500)
    parser.add_argument("--texts", type=int, default=20_000)
    parser.add_argument("--rates", default="0.1,0.2,0.4,0.8", help="segments a second, of one sender after the other")
    parser.add_argument("--milliseconds", type=float, default=50, help="what one send takes at Twilio")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--seconds", type=int, default=60, help="how long texts are sent with rates")
    given = parser.parse_args()
    few = [float(rate) for rate in given.rates.split(",")]
    rates = [few[number % len(few)] for number in range(given.senders)]
    with rig(prefect=False, messaging_services=services(given.senders)) as at:
        at.stack.twilio.seconds_each = given.milliseconds / 1000
        free = drain(at, [None] * given.senders, given.texts, given.workers, 0)
        done = drain(at, rates, given.texts, given.workers, given.seconds)
        of_each = taken(at, given.senders)
        reached = sorted(shares(of_each, rates, given.texts // given.senders))
        above = [
            most_in_a_window(moments) > WINDOW.total_seconds() * rate + 1
            for moments, rate in zip(of_each, rates, strict=True)
        ]
        rows: list[list[object]] = [
            ["texts sent, without and with rates", f"{free.sends} {done.sends}"],
            ["texts a second without rates", free.per_second],
            ["sum of the rates", sum(rates)],
            ["texts a second with rates", done.per_second],
            ["share of what the rates allow", share_of_all(of_each, rates, given.texts // given.senders)],
            [
                "share of its own rate: worst, worst of ten, middle",
                f"{reached[0]:.2f} {reached[len(reached) // 10]:.2f} {median(reached):.2f}",
            ],
            ["senders above their rate", sum(above)],
        ]
        show(f"{given.texts} texts of {given.senders} senders, {given.rates} segments/s each", ["", ""], rows)


if __name__ == "__main__":
    main()
