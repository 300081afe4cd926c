"""Whole runs: the long one with every fault, an outage of two hours, and a list that lags beyond the quarantine."""

import time
from collections import Counter, defaultdict
from dataclasses import dataclass
from datetime import timedelta

from smsretry.local.stack import Stack
from smsretry.local.twilio.faults import AcceptThenDrop, DropUnaccepted, HtmlError, ListError, ListLag
from tests.proofs.faults.accounts import address_of
from tests.proofs.faults.arrivals import Message, came_twice
from tests.proofs.faults.carrier import Carrier
from tests.proofs.faults.checks import Verdict, compare
from tests.proofs.faults.harness import Harness, harness
from tests.proofs.faults.moves import Movers
from tests.proofs.faults.orders import KILL_POINTS, POLL_POINTS, StallPoint, Switch
from tests.proofs.faults.texts import plan
from tests.proofs.faults.troubles import READ_SECONDS


@dataclass(frozen=True, slots=True)
class Report:
    """What was done to a run, and what the checks say."""

    numbers: dict[str, object]
    verdict: Verdict
    woke_and_wrote: int
    bugs: tuple[str, ...]
    killed: int
    most_attempts: int
    """Of a text that was sent."""
    wrong: tuple[str, ...] = ()
    """How the texts ended that ended wrongly."""

    @property
    def clean(self) -> bool:
        """Whether the run kept every promise."""
        return self.verdict.clean and not self.woke_and_wrote and not self.bugs

    def __str__(self) -> str:
        lines = [f"{name:<34}{value!s:>12}" for name, value in self.numbers.items()]
        found = [*str(self.verdict).splitlines(), f"{'woke and wrote':<24}{self.woke_and_wrote:>8}"]
        found.append(f"{'bugs':<24}{len(self.bugs):>8}")
        rule = "─" * 46
        return "\n".join([rule, *lines, rule, *(f"{line[:24]:<34}{line[24:].strip():>12}" for line in found), rule])


def everything(
    *,
    texts: int,
    seed: str,
    kills: int,
    on: Stack | None = None,
    crashes: int = 6,
    stalls: int = 10,
    without: Switch | None = None,
    scheduled: bool = False,
    delivery: bool = False,
    senders: bool = True,
) -> Report:
    """Every fault there is, until the texts are done and so many workers were killed; then peace, then the checks.

    Who dies is chance: if the texts end too early, there are some more, up to as many again.

    Args:
        on: an empty stack, instead of one of its own; the other scenarios take it, too.
        scheduled: each text is a scheduled send at first, and workers also die while they queue it.
        delivery: Twilio reports what becomes of each message, and workers also die while they look after deliveries.
        senders: businesses text from 20 senders in 12 accounts, and move between them.
    """
    started = time.monotonic()
    with harness(
        seed=seed, on=on, without=without, kills=kills, scheduled=scheduled, delivery=delivery, senders=senders
    ) as run:
        run.read_seconds = READ_SECONDS
        run.queue(plan(texts, seed=seed, start=run.stack.now(), spread=timedelta(minutes=texts / 40)))
        expected = max(texts // 25, 8)
        every_crash, every_stall = max(2, expected // (crashes + 1)), max(3, expected // (stalls + 1))
        while True:
            due_in = run.outlook()
            if run.rounds > 40 * expected:
                break
            if run.live <= texts * 0.01:
                if without or not run.has_kills_to_come or len(run.texts) >= 2 * texts:
                    break
                more = plan(10, seed=seed, start=run.stack.now(), spread=timedelta(0), after=len(run.texts))
                run.queue(more)
                due_in = run.outlook()
            if due_in > timedelta(0):
                run.stack.move_clock(due_in)
            n = run.rounds + 1
            crash = n % every_crash == 0 and run.crashes + run.restarts < crashes
            stall = not crash and n % every_stall == 1 and run.slept < stalls
            stall_poll = not crash and not stall and delivery and n % every_stall == 2 and run.poll_stalls < stalls
            stall_move = not crash and bool(run.movers) and n % every_stall == 0 and run.move_stalls < stalls
            run.round(crash=crash, stall=stall, stall_poll=stall_poll, stall_move=stall_move)
        run.drain()
        return _report(run, started)


def outage(
    *,
    texts: int,
    seed: str,
    on: Stack | None = None,
    refused: bool = False,
    hours: float = 2,
    every: timedelta = timedelta(minutes=1),
) -> Report:
    """Twilio is down for so long while every text is due, a worker runs every minute or so; then it is back."""
    started = time.monotonic()
    with harness(seed=seed, on=on) as run:
        run.queue(plan(texts, seed=seed, start=run.stack.now(), spread=timedelta(0), only_zone="America/New_York"))
        run.refused = refused
        if not refused:
            run.stack.twilio.fail(HtmlError(http_status=503), times=None)
            run.stack.twilio.fail(ListError(20503, http_status=503), times=None)
        for _ in range(int(timedelta(hours=hours) / every)):
            run.rounds += 1
            run.run_workers([{"limit": 50}])
            run.stack.move_clock(every)
        with run.stack.connect() as connection:
            touched = connection.execute("select count(*) as n from sms_retry_queue where attempt_count > 0").fetchone()
        run.refused = False
        run.drain()
        return _report(run, started, {"attempted during the outage": touched["n"] if touched else None})


def oversleep(*, seed: str, where: StallPoint, on: Stack | None = None, without: Switch | None = None) -> Report:
    """A worker sleeps past its lease; another one takes its texts, and dies with one accepted; then the first wakes."""
    started = time.monotonic()
    with harness(seed=seed, on=on, without=without) as run:
        run.queue(plan(20, seed=seed, start=run.stack.now(), spread=timedelta(0), only_zone="America/New_York"))
        run.stall(where)
        run.drain()
        return _report(run, started)


def moved(*, seed: str, on: Stack | None = None, without: Switch | None = None) -> Report:
    """Businesses get another sender while a worker holds a text of theirs that has not begun."""
    started = time.monotonic()
    with harness(seed=seed, on=on, without=without, senders=True) as run:
        run.queue(plan(40, seed=seed, start=run.stack.now(), spread=timedelta(0), only_zone="America/New_York"))
        for _ in range(6):
            run.rounds += 1
            run.stall_move("claimed")
        run.drain()
        return _report(run, started)


def reported(*, texts: int, seed: str, unwatched: bool = False, without: Switch | None = None) -> Report:
    """Nothing fails but what carriers lose; callbacks are late, lost, repeated and out of order.

    Args:
        unwatched: nobody looks after deliveries while texts wait to be sent again.
    """
    started = time.monotonic()
    with harness(seed=seed, without=without, delivery=True) as run:
        run.unwatched = unwatched
        run.queue(plan(texts, seed=seed, start=run.stack.now(), spread=timedelta(0), only_zone="America/New_York"))
        run.drain()
        return _report(run, started)


def blind(*, texts: int, seed: str, lag: timedelta, on: Stack | None = None, without: Switch | None = None) -> Report:
    """Twilio's list hides messages for so long; every second text is accepted or dropped, without an answer."""
    started = time.monotonic()
    with harness(seed=seed, on=on, without=without) as run:
        planned = plan(texts, seed=seed, start=run.stack.now(), spread=timedelta(0), only_zone="America/New_York")
        run.queue(planned)
        for text in planned[::4]:
            run.stack.twilio.fail(AcceptThenDrop(), to=text.phone)
        for text in planned[2::4]:
            run.stack.twilio.fail(DropUnaccepted(), to=text.phone)
        run.stack.twilio.fail(ListLag(lag), times=None)
        for _ in range(60):
            if run.outlook() <= timedelta(0):
                run.rounds += 1
                run.run_workers([{"limit": 50}])
            run.stack.move_clock(timedelta(minutes=1))
        run.drain()
        return _report(run, started, {"in doubt, though accepted": len(planned[::4])})


def _report(run: Harness, started: float, more: dict[str, object] | None = None) -> Report:
    crew = run.crew
    with run.stack.connect() as connection:
        states = connection.execute(
            "select status, count(*) as n from sms_retry_queue group by 1 order by 1"
        ).fetchall()
        why = connection.execute(
            """select left(regexp_replace(last_error, '[0-9]+', 'n', 'g'), 30) as why, count(*) as n
               from sms_retry_queue where status in ('failed', 'cancelled') group by 1 order by 2 desc"""
        ).fetchall()
        most = connection.execute(
            """select coalesce(max(attempt_count) filter (where status = 'completed'), 0) as n,
                      (select count(*) from sms_send_attempts where settled_by = 'reconcile' and outcome = 'accepted')
                        as found
               from sms_retry_queue"""
        ).fetchone()
    assert most is not None
    deliveries = _deliveries(run, run.carrier) if run.carrier else {}
    numbers: dict[str, object] = {
        **(_planned(run) if run.scheduled else {}),
        "texts": len(run.texts),
        "rounds": run.rounds,
        "worker runs": crew.runs,
        "workers killed": run.killed,
        **{f"  {point}": crew.kills[point] for point in KILL_POINTS if crew.kills},
        **({"  queueing scheduled sends": crew.kills["queueing"]} if run.scheduled else {}),
        "workers stalled past their lease": run.slept,
        "Postgres killed": run.crashes,
        "Postgres restarted": run.restarts,
        "Postgres answers dropped": run.answers_dropped,
        "Postgres calls given up": crew.troubles,
        "Twilio answers lost": crew.doubts,
        "found in Twilio's list": most["found"],
        "most attempts of a sent text": most["n"],
        "Twilio messages": len(run.stack.twilio.ledger.entries()),
        **(_senders(run, run.movers) if run.movers else {}),
        **{row["status"]: row["n"] for row in states},
        **{f"  {row['why']}": row["n"] for row in why[:8]},
        **(more or {}),
        **deliveries,
        "seconds": round(time.monotonic() - started, 1),
    }
    verdict, wrong = compare(
        run.stack, run.texts, carrier=run.carrier, scheduled=run.scheduled, movers=run.movers, asked=run.asked
    )
    bugs = (*crew.bugs, *(run.carrier.refused if run.carrier else ()))
    return Report(numbers, verdict, run.woke_and_wrote, bugs, run.killed, most["n"], tuple(wrong))


def _planned(run: Harness) -> dict[str, object]:
    with run.stack.connect() as connection:
        row = connection.execute(
            """select count(*) as planned, count(l.id) as became
               from scheduled_sends s left join send_logs l on l.id = s.id and s.send_log_id = l.id"""
        ).fetchone()
    assert row is not None
    return {"scheduled sends": row["planned"], "  became texts": row["became"]}


def _senders(run: Harness, movers: Movers) -> dict[str, object]:
    """From how many senders in how many accounts texts went out, and what happened to those."""
    addresses = {address_of(entry) for entry in run.stack.twilio.ledger.entries()}
    asked = Counter(asked.what for asked in run.asked)
    return {
        "  senders": len(addresses),
        "  accounts": len({account for account, _ in addresses}),
        "looks in Twilio's list": asked["list"],
        "questions about a message": asked["fetch"] + asked["change"],
        "businesses moved": movers.counts["own"] + movers.counts["environment's"],
        "  to the environment's sender": movers.counts["environment's"],
        "  under a worker's hands": run.move_stalls,
        "senders removed": movers.counts["removed"],
    }


def _deliveries(run: Harness, carrier: Carrier) -> dict[str, object]:
    """What was reported, what became of it, and what was done to those who look after it."""
    with run.stack.connect() as connection:
        ends = connection.execute(
            """select delivery_status, count(*) as n from sms_send_attempts where twilio_sid is not null
               group by 1 order by 2 desc"""
        ).fetchall()
        looks = connection.execute("select sum(delivery_looks) as n from sms_send_attempts").fetchone()
    of = defaultdict[str, list[Message]](list)
    for entry in run.stack.twilio.ledger.entries():
        of[entry.body].append(Message(entry.sid, entry.accepted_at, tuple(carrier.told[entry.sid])))
    return {
        "pollers killed": sum(run.crew.kills[point] for point in POLL_POINTS),
        **{f"  {point}": run.crew.kills[point] for point in POLL_POINTS},
        "pollers stalled past their lease": run.poll_stalls,
        "looks after messages": looks and looks["n"],
        "statuses of messages": carrier.counts["statuses"],
        **{f"  callbacks {what}": carrier.counts[what] for what in ("lost", "late", "repeated", "without an answer")},
        **{f"messages {row['delivery_status']}": row["n"] for row in ends},
        "texts sent again": sum(len(messages) > 1 for messages in of.values()),
        "  both arrived, as was learned later": sum(map(came_twice, of.values())),
    }
