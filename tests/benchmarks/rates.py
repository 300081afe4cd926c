"""Eight o'clock: all texts are due at once, and senders have rates. By hand: `python -m tests.benchmarks.rates`.

The businesses share the senders. Is a sender idle at any time, or above its rate, by what Twilio's stand-in took? Does
each business get its share? A newcomer's text comes due when a third of the texts could have left: a fair share is one
text each time that every business of its sender has one.

--rates: segments a second, of one sender after the other. --seconds: how long texts are sent with rates.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from itertools import islice
from statistics import median

from tests.benchmarks.rig import Rig, rig
from tests.benchmarks.table import show
from tests.support.options import parser

WINDOW = timedelta(seconds=3)
"""A sender's segments are counted in every stretch of this length."""
_NEWCOMER = "+13125550000"
_SENDERS = """
with s as (
    insert into smsretry.senders (account, sent_by, segments_per_second)
    select %(account)s, u.* from unnest(%(services)s::text[], %(rates)s::float8[]) u returning id
)
insert into smsretry.business_senders (business_id, sender_id)
select b.id, s.id from (select id, row_number() over () as n from businesses) b
join (select id, row_number() over () as n from s) s on s.n = 1 + b.n %% %(count)s
"""
_OWNER = "select c.phone, c.business_id from customers c"


def most_in_a_window(moments: Sequence[datetime]) -> int:
    """The most texts of a sender in any stretch of that length. They are in order."""
    start, busiest = 0, 0
    for end, moment in enumerate(moments):
        while moments[start] <= moment - WINDOW:
            start += 1
        busiest = max(busiest, end - start + 1)
    return busiest


def reached(
    of_each: Sequence[Sequence[datetime]], rates: Sequence[float], texts: int
) -> Iterator[float]:
    """Which share of what its rate allows each sender sent, until its last text or until nobody sent any more."""
    began = min(moments[0] for moments in of_each)
    ended = max(moments[-1] for moments in of_each)
    for moments, rate in zip(of_each, rates, strict=True):
        until = moments[-1] if len(moments) >= texts else ended
        allowed = 1 + int((until - began).total_seconds() * rate)
        yield len(moments) / min(allowed, texts)


def drain(
    at: Rig, services: Sequence[str], rates: Sequence[float], texts: int, seconds: int
) -> datetime:
    """Send them all, or what can be sent in this time. When the newcomer's text was due."""
    due_at = at.stack.now() + timedelta(seconds=texts / sum(rates) / 3)
    at.queue("newcomer", _NEWCOMER, due_at=due_at)
    account = at.stack.environment()["TWILIO_ACCOUNT_SID"]
    with at.stack.connect() as connection:
        connection.execute(
            _SENDERS,
            {
                "account": account,
                "rates": list(rates),
                "services": list(services),
                "count": len(rates),
            },
        )
    drained = at.run(
        [
            *("-m", "smsretry", "process", "--limit", str(texts)),
            *("--drain-seconds", str(seconds)),
        ]
    )
    assert len({entry.to for entry in at.entries}) == drained.sends, (
        "somebody was texted twice"
    )
    return due_at


def main() -> None:
    """Measure, and print a table."""
    options = parser(
        __doc__,
        texts=20_000,
        businesses=500,
        senders=500,
        rates="0.1,0.2,0.4,0.8",
        milliseconds=50.0,
        seconds=60,
    ).parse_args()
    distinct_rates = [float(rate) for rate in options.rates.split(",")]
    rates = [
        distinct_rates[number % len(distinct_rates)]
        for number in range(options.senders)
    ]
    services = [f"MG{number:032x}" for number in range(1, len(rates) + 1)]
    with rig(milliseconds=options.milliseconds, services=services) as at:
        at.fill(options.texts, businesses=options.businesses)
        due_at = drain(at, services, rates, options.texts, options.seconds)
        entries = sorted(at.entries, key=lambda entry: entry.accepted_at)
        with at.stack.connect() as connection:
            owners = {
                row["phone"]: row["business_id"] for row in connection.execute(_OWNER)
            }
    times = defaultdict[str | None, list[datetime]](list)
    for entry in entries:
        times[entry.messaging_service_sid].append(entry.accepted_at)
    of_each = [times[service] for service in services]
    shares = sorted(reached(of_each, rates, options.texts // len(rates)))
    above = sum(
        most_in_a_window(moments) > WINDOW.total_seconds() * rate + 1
        for moments, rate in zip(of_each, rates, strict=True)
    )
    half = Counter(owners[entry.to] for entry in islice(entries, len(entries) // 2))
    newcomer = [entry.to for entry in entries if entry.accepted_at >= due_at]
    fair = len(entries) / 2 / options.businesses
    rows: list[list[object]] = [
        ["texts sent", len(entries)],
        [
            "share of its own rate: worst, worst of ten, middle",
            f"{shares[0]:.2f} {shares[len(shares) // 10]:.2f} {median(shares):.2f}",
        ],
        ["senders above their rate", above],
        ["smallest share of a business when half are sent", min(half.values()) / fair],
        [
            "the newcomer's, of the texts since it was due",
            newcomer.index(_NEWCOMER) + 1,
        ],
    ]
    title = (
        f"{options.texts} texts, {options.businesses} businesses, {len(rates)} senders"
    )
    show(f"{title} of {options.rates} segments/s", ["", ""], rows)


if __name__ == "__main__":
    main()
