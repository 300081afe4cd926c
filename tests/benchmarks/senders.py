"""Very many senders, each with a rate of its own. By hand: `python -m tests.benchmarks.senders`.

Each business has a sender of its own, and all texts are due at once. Which share of what the rates allow was sent, by
all senders together and by each; and whether any was ever above its own, by what Twilio's stand-in took.

--rates: segments a second, of one sender after the other. --seconds: how long texts are sent with rates.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from statistics import median

from tests.benchmarks.rig import Done, Rig, rig
from tests.benchmarks.table import show
from tests.support.options import parser

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


def drain(
    at: Rig, rates: Sequence[float], texts: int, workers: int, seconds: int
) -> Done:
    """Send them all, or what can be sent in this time, each business's from its own sender."""
    senders = len(rates)
    with at.stack.connect() as connection:
        connection.execute(_EMPTY)
    at.fill(texts, businesses=senders)
    account = at.stack.environment()["TWILIO_ACCOUNT_SID"]
    with at.stack.connect() as connection:
        connection.execute(
            _SENDERS,
            {"account": account, "rates": list(rates), "services": services(senders)},
        )
    command = [*WORKER, "--limit", str(texts), "--drain-seconds", str(seconds)]
    drained = at.run_all([command] * workers)
    assert len({entry.to for entry in at.entries}) == drained.sends, (
        "somebody was texted twice"
    )
    return drained


def most_in_a_window(moments: Sequence[datetime]) -> int:
    """The most texts of a sender in any stretch of that length. They are in order."""
    start, busiest = 0, 0
    for end, moment in enumerate(moments):
        while moments[start] <= moment - WINDOW:
            start += 1
        busiest = max(busiest, end - start + 1)
    return busiest


def times_by_sender(at: Rig, senders: int) -> list[list[datetime]]:
    """When each sender's texts were taken, in order."""
    of_each: dict[str | None, list[datetime]] = {
        service: [] for service in services(senders)
    }
    for entry in at.entries:
        of_each[entry.messaging_service_sid].append(entry.accepted_at)
    return [sorted(moments) for moments in of_each.values()]


def shares(
    of_each: Sequence[Sequence[datetime]], rates: Sequence[float], texts: int
) -> tuple[float, list[float]]:
    """Which share of what the rates allow was sent, by all until the last text, and by each until its own last."""
    began = min(moments[0] for moments in of_each if moments)
    ended = max(moments[-1] for moments in of_each if moments)

    def allowed(rate: float, until: datetime) -> int:
        return min(1 + int((until - began).total_seconds() * rate), texts)

    pairs = zip(of_each, rates, strict=True)
    ratios = [
        len(m) / allowed(rate, m[-1] if len(m) == texts else ended) for m, rate in pairs
    ]
    return sum(map(len, of_each)) / sum(allowed(rate, ended) for rate in rates), sorted(
        ratios
    )


def main() -> None:
    """Measure, and print a table."""
    options = {
        "senders": 500,
        "texts": 20_000,
        "rates": "0.1,0.2,0.4,0.8",
        "milliseconds": 50.0,
        "seconds": 60,
    }
    chosen = parser(__doc__, workers=1, **options).parse_args()
    distinct_rates = [float(rate) for rate in chosen.rates.split(",")]
    rates = [
        distinct_rates[number % len(distinct_rates)] for number in range(chosen.senders)
    ]
    with rig(milliseconds=chosen.milliseconds, services=services(chosen.senders)) as at:
        drained = drain(at, rates, chosen.texts, chosen.workers, chosen.seconds)
        of_each = times_by_sender(at, chosen.senders)
        of_all, reached = shares(of_each, rates, chosen.texts // chosen.senders)
        above = [
            most_in_a_window(moments) > WINDOW.total_seconds() * rate + 1
            for moments, rate in zip(of_each, rates, strict=True)
        ]
        rows: list[list[object]] = [
            ["texts sent", drained.sends],
            ["sum of the rates", sum(rates)],
            ["texts a second", drained.per_second],
            ["share of what the rates allow", of_all],
            [
                "share of its own rate: worst, worst of ten, middle",
                f"{reached[0]:.2f} {reached[len(reached) // 10]:.2f} {median(reached):.2f}",
            ],
            ["senders above their rate", sum(above)],
        ]
        show(
            f"{chosen.texts} texts of {chosen.senders} senders, {chosen.rates} segments/s each",
            ["", ""],
            rows,
        )


if __name__ == "__main__":
    main()
