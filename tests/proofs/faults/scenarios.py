"""Whole runs: the long one with every fault, an outage of two hours, and a list that lags beyond the quarantine."""

import time
from collections import Counter
from datetime import timedelta

from smsretry.local.stack import Stack
from smsretry.local.twilio.faults import (
    AcceptThenDrop,
    DropUnaccepted,
    HtmlError,
    ListError,
    ListLag,
)
from tests.proofs.faults.deliveries import has_no_text, judge_deliveries
from tests.proofs.faults.harness import READ_SECONDS, Harness, harness
from tests.proofs.faults.orders import StallPoint
from tests.proofs.town.book import Book, read_book
from tests.proofs.town.judge import Judge, at_the_end, judged
from tests.proofs.town.report import ProofReport, Verdict
from tests.proofs.town.safeguards import Safeguard, Switch
from tests.proofs.town.texts import NEW_YORK
from tests.support.records import Record


def everything(
    stack: Stack,
    *,
    texts: int,
    seed: str,
    kills: int | None = None,
    crashes: int | None = None,
    stalls: int | None = None,
    scheduled: bool = False,
    delivery: bool = False,
) -> ProofReport:
    """Every fault there is, until the texts are done and so many workers were killed; then peace, then the judge.

    Who dies or stands still is chance: if the texts end too early, there are some more, up to as many again.

    Args:
        kills: of workers, at least. This and the next two grow with the texts, if not given.
        crashes: of PostgreSQL.
        stalls: of each kind.
        scheduled: each text is a scheduled send at first, and workers also die while they queue it.
        delivery: Twilio reports what becomes of each message, and workers also die while they look after deliveries.
    """
    kills = texts // 20 if kills is None else kills
    crashes = min(6, texts // 40) if crashes is None else crashes
    stalls = min(10, texts // 40) if stalls is None else stalls
    with harness(
        stack,
        seed=seed,
        kills=kills,
        scheduled=scheduled,
        delivery=delivery,
        senders=True,
    ) as run:
        run.read_seconds = READ_SECONDS
        run.queue(texts, spread=timedelta(minutes=texts / 40))
        expected, stalls = max(texts // 25, 8), stalls * (2 + delivery)
        every_crash, every_stall = (
            max(2, expected // (crashes + 1)),
            max(2, expected // (stalls + 1)),
        )
        while run.rounds <= 40 * expected:
            due_in = run.outlook()
            if run.live <= texts * 0.01:
                to_come = (
                    run.has_kills_to_come or run.stood < stalls or run.crashes < crashes
                )
                if not to_come or len(run.texts) >= 4 * texts:
                    break
                run.queue(10)
                due_in = run.outlook()
            run.stack.move_clock(due_in)
            n = run.rounds + 1
            crash = n % every_crash == 0 and run.crashes < crashes
            run.round(
                crash=crash,
                alone=not crash and n % every_stall == 1 and run.stood < stalls,
            )
        return _ended(run)


def outage(
    stack: Stack,
    *,
    texts: int,
    seed: str,
    refused: bool = False,
    every: timedelta = timedelta(minutes=1),
) -> ProofReport:
    """Twilio is down for two hours while every text is due, a worker runs every minute or so; then it is back."""
    with harness(stack, seed=seed) as run:
        run.queue(texts, zone=NEW_YORK)
        run.refused = refused
        if not refused:
            stack.twilio.fail(HtmlError(http_status=503), times=None)
            stack.twilio.fail(ListError(20503, http_status=503), times=None)
        for _ in range(int(timedelta(hours=2) / every)):
            run.rounds += 1
            run.run_workers({"limit": 50})
            stack.move_clock(every)
        with stack.connect() as connection:
            touched = connection.execute(
                "select from sms_retry_queue where attempt_count > 0"
            ).rowcount
        run.refused = False
        return _ended(run, {"attempted during the outage": touched})


def overslept(
    stack: Stack, *, seed: str, where: StallPoint, missing: str | None = None
) -> ProofReport:
    """A worker sleeps past its lease; another one takes its texts, and dies with one accepted; then the first wakes."""
    with harness(stack, seed=seed, missing=missing) as run:
        run.queue(20, zone=NEW_YORK)
        run.oversleep(where)
        return _ended(run)


def reported(
    stack: Stack, *, texts: int, seed: str, missing: str | None = None
) -> ProofReport:
    """Nothing fails but what carriers lose; callbacks are late, lost, repeated and out of order."""
    with harness(stack, seed=seed, missing=missing, delivery=True) as run:
        run.queue(texts, zone=NEW_YORK)
        return _ended(run)


def blind(
    stack: Stack, *, texts: int, seed: str, lag: timedelta, missing: str | None = None
) -> ProofReport:
    """Twilio's list hides messages for so long; every second text is accepted or dropped, without an answer."""
    with harness(stack, seed=seed, missing=missing) as run:
        planned = run.queue(texts, zone=NEW_YORK)
        for text in planned[::4]:
            stack.twilio.fail(AcceptThenDrop(), to=text.phone)
        for text in planned[2::4]:
            stack.twilio.fail(DropUnaccepted(), to=text.phone)
        stack.twilio.fail(ListLag(lag), times=None)
        for _ in range(60):
            if run.outlook() <= timedelta(0):
                run.rounds += 1
                run.run_workers({"limit": 50})
            stack.move_clock(timedelta(minutes=1))
        return _ended(run, {"in doubt, though accepted": len(planned[::4])})


def _switch(name: str, sees: str) -> Switch:
    """The list lags by less than the quarantine, which harms none."""

    def short(stack: Stack) -> ProofReport:
        match name:
            case "fence":
                return overslept(stack, seed="1", where="claimed", missing=name)
            case "reconcile" | "quarantine":
                return blind(
                    stack, texts=12, seed="1", lag=timedelta(minutes=14), missing=name
                )
        return reported(stack, texts=47, seed="9", missing=name)

    return Switch(without=Safeguard(), sees=sees, run=short)


SWITCHES = {
    "fence": _switch("fence", "woke and wrote"),
    "reconcile": _switch("reconcile", "doubled"),
    "quarantine": _switch("quarantine", "doubled"),
    "patience": _switch("patience", "doubled"),
    "codes": _switch("codes", "retried for good"),
}
"""Workers are processes of their own: they take away what their orders name."""


def _ended(run: Harness, extra: dict[str, object] | None = None) -> ProofReport:
    """Peace, until nothing is left to do; then the judge."""
    run.drain()
    book = read_book(run.stack, run.texts, run.carrier.reports if run.carrier else None)
    crew, moved = run.crew, run.senders.counts
    numbers: Record = {
        **book.numbers,
        "rounds": run.rounds,
        "worker runs": crew.counts["runs"],
        "workers killed": run.killed,
        "pollers killed": crew.kills.total() - run.killed,
        **{f"  {point}": died for point, died in crew.kills.items()},
        **run.counts,
        "calls of PostgreSQL given up": crew.counts["trouble"],
        "Twilio's answers lost": crew.counts["doubt"],
        "looks in Twilio's list": run.stack.twilio.lists,
        "businesses moved": moved["own"] + moved["environment's"],
        "became texts": sum(
            send["send_log_id"] == send["id"] for send in book.sends.values()
        ),
        "looks after messages": sum(a["delivery_asks"] for a in book.attempts),
        **(run.carrier.counts if run.carrier else {}),
        **Counter(
            f"messages {a['delivery_status']}" for a in book.attempts if a["twilio_sid"]
        ),
        **(extra or {}),
        "seconds": round(time.monotonic() - run.began, 1),
    }
    return ProofReport(numbers, _judged(run, book))


def _judged(run: Harness, book: Book) -> Verdict:
    carrier = run.carrier
    judges: list[Judge] = [
        lambda _, story: at_the_end(story, with_reports=carrier is not None),
        run.senders.wrong,
    ]
    if run.scheduled:
        judges += [
            lambda text, story: has_no_text(book.sends.get(text.send_log_id), story)
        ]
    if carrier:
        judges += [
            lambda text, story: judge_deliveries(
                story, book.customers[text.customer_id]
            )
        ]
    outcome = judged(book, run.texts, Verdict(), *judges)
    outcome.add(("woke and wrote", line) for line in run.wrote)
    outcome.add(
        ("bugs", line)
        for line in (*run.crew.bugs, *(carrier.refused if carrier else ()))
    )
    return outcome
