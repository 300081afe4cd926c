"""A thousand senders of one segment a second. By hand: `python -m tests.benchmarks.senders`.

Each business has a sender of its own, and all texts are due at once. First without rates: what this machine sends. Then
with them: which share is reached of that, or of the sum of the rates if it is less, and whether any sender was ever
above its own, by what Twilio's stand-in took.
"""

import argparse
from collections import defaultdict
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
    select %(account)s, service, %(rate)s from unnest(%(services)s::text[]) service returning id
)
insert into smsretry.business_senders (business_id, sender_id)
select b.id, s.id from (select id, row_number() over () as n from businesses) b
join (select id, row_number() over () as n from s) s using (n)
"""
_EMPTY = "truncate smsretry.business_senders, smsretry.senders, smsretry.sender_time, smsretry.default_senders"


def services(count: int) -> list[str]:
    """SIDs of messaging services."""
    return [f"MG{number:032x}" for number in range(1, count + 1)]


def drain(at: Rig, senders: int, texts: int, rate: float | None, workers: int, minutes: float) -> Done:
    """Send them all, each business's from its own sender."""
    with at.stack.connect() as connection:
        connection.execute(_EMPTY)
    at.fill(texts, businesses=senders)
    account = at.stack.environment()["TWILIO_ACCOUNT_SID"]
    with at.stack.connect() as connection:
        connection.execute(_SENDERS, {"account": account, "rate": rate, "services": services(senders)})
    command = [*WORKER, "--limit", str(texts), "--drain-seconds", str(60 * minutes)]
    done = at.run_all([command] * workers)
    assert len({entry.to for entry in at.stack.twilio.ledger.entries()}) == done.sends, "somebody was texted twice"
    return done


def most_in_a_window(moments: list[datetime]) -> int:
    """The most texts of a sender in any stretch of that length."""
    moments = sorted(moments)
    first, most = 0, 0
    for last, moment in enumerate(moments):
        while moments[first] <= moment - WINDOW:
            first += 1
        most = max(most, last - first + 1)
    return most


def windows(at: Rig) -> list[int]:
    """The same of each sender."""
    taken = defaultdict(list)
    for entry in at.stack.twilio.ledger.entries():
        taken[entry.messaging_service_sid].append(entry.accepted_at)
    return [most_in_a_window(moments) for moments in taken.values()]


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--senders", type=int, default=1000)
    parser.add_argument("--texts", type=int, default=20_000)
    parser.add_argument("--rate", type=float, default=1, help="segments a second of each sender")
    parser.add_argument("--milliseconds", type=float, default=50, help="what one send takes at Twilio")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--minutes", type=float, default=10, help="a run's time")
    given = parser.parse_args()
    with rig(prefect=False, messaging_services=services(given.senders)) as at:
        at.stack.twilio.seconds_each = given.milliseconds / 1000
        free = drain(at, given.senders, given.texts, None, given.workers, 0)
        done = drain(at, given.senders, given.texts, given.rate, given.workers, given.minutes)
        most, allowed = windows(at), WINDOW.total_seconds() * given.rate + 1
        reachable = min(free.per_second, given.senders * given.rate)
        rows: list[list[object]] = [
            ["texts sent, without and with rates", f"{free.sends} {done.sends}"],
            ["texts a second without rates", free.per_second],
            ["sum of the rates", given.senders * given.rate],
            ["texts a second with rates", done.per_second],
            ["share of what can be reached", done.per_second / reachable],
            [f"most of a sender in 3 s, and the middle (at most {allowed:g})", f"{max(most)} {median(most)}"],
            ["senders above their rate", sum(each > allowed for each in most)],
        ]
        show(f"{given.texts} texts of {given.senders} senders, {given.rate:g} segments/s each", ["", ""], rows)


if __name__ == "__main__":
    main()
