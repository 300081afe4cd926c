"""Whole runs: the long one with every fault, an outage of two hours, and a list that lags beyond the quarantine."""

import time
from collections import Counter
from datetime import timedelta
from typing import Any, Final

from smsretry.local.stack import Stack
from smsretry.local.twilio.faults import AcceptThenDrop, DropUnaccepted, HtmlError, ListError, ListLag
from tests.proofs.faults.accounts import judge_questions
from tests.proofs.faults.deliveries import has_no_text, judge_deliveries
from tests.proofs.faults.harness import READ_SECONDS, Harness, harness
from tests.proofs.faults.orders import KILL_POINTS, POLL_POINTS, StallPoint, Switch
from tests.proofs.town.book import Book, read
from tests.proofs.town.judge import allowed, at_the_end, truths
from tests.proofs.town.report import Report, Verdict
from tests.proofs.town.texts import NEW_YORK

KINDS: Final = (
    "lost", "doubled", "stuck", "out of hours", "after an opt-out", "too many attempts", "misreported", "untrue end",
    "unsettled", "extra rows", "woke and wrote", "bugs",
)  # fmt: skip
OF_SENDERS: Final = ("wrong sender", "wrong account")
OF_DELIVERIES: Final = (
    "retried twice", "arrived twice", "retried for good", "retried too often", "wrong in the end", "wrongly marked",
)  # fmt: skip


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
    """Every fault there is, until the texts are done and so many workers were killed; then peace, then the judge.

    Who dies or stands still is chance: if the texts end too early, there are some more, up to as many again.

    Args:
        on: an empty stack, instead of one of its own; the other scenarios take it, too.
        stalls: of each kind.
        scheduled: each text is a scheduled send at first, and workers also die while they queue it.
        delivery: Twilio reports what becomes of each message, and workers also die while they look after deliveries.
        senders: businesses text from 20 senders in 12 accounts, and move between them.
    """
    started, options = time.monotonic(), {"scheduled": scheduled, "delivery": delivery, "senders": senders}
    with harness(seed=seed, on=on, without_=without, kills=kills, **options) as run:
        run.read_seconds = READ_SECONDS
        run.queue(texts, spread=timedelta(minutes=texts / 40))
        expected, stalls = max(texts // 25, 8), stalls * (1 + delivery + senders)
        every_crash, every_stall = max(2, expected // (crashes + 1)), max(2, expected // (stalls + 1))
        while run.rounds <= 40 * expected:
            due_in = run.outlook()
            stood = run.slept + run.poll_stalls + run.move_stalls
            if run.live <= texts * 0.01:
                to_come = run.has_kills_to_come or stood < stalls or run.crashes + run.restarts < crashes
                if without or not to_come or len(run.texts) >= 4 * texts:
                    break
                run.queue(10)
                due_in = run.outlook()
            run.stack.move_clock(due_in)
            n = run.rounds + 1
            crash = n % every_crash == 0 and run.crashes + run.restarts < crashes
            run.round(crash=crash, alone=not crash and n % every_stall == 1 and stood < stalls)
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
        run.queue(texts, zone=NEW_YORK)
        run.refused = refused
        if not refused:
            run.stack.twilio.fail(HtmlError(http_status=503), times=None)
            run.stack.twilio.fail(ListError(20503, http_status=503), times=None)
        for _ in range(int(timedelta(hours=hours) / every)):
            run.rounds += 1
            run.run_workers({"limit": 50})
            run.stack.move_clock(every)
        touched = _count(run, "select count(*) as n from sms_retry_queue where attempt_count > 0")
        run.refused = False
        run.drain()
        return _report(run, started, {"attempted during the outage": touched})


def oversleep(*, seed: str, where: StallPoint, on: Stack | None = None, without: Switch | None = None) -> Report:
    """A worker sleeps past its lease; another one takes its texts, and dies with one accepted; then the first wakes."""
    started = time.monotonic()
    with harness(seed=seed, on=on, without_=without) as run:
        run.queue(20, zone=NEW_YORK)
        run.stall(where)
        run.drain()
        return _report(run, started)


def moved(*, seed: str, on: Stack | None = None, without: Switch | None = None) -> Report:
    """Businesses get another sender while a worker holds a text of theirs that has not begun."""
    started = time.monotonic()
    with harness(seed=seed, on=on, without_=without, senders=True) as run:
        run.queue(40, zone=NEW_YORK)
        for _ in range(6):
            run.rounds += 1
            run.stall_move("claimed")
        run.drain()
        return _report(run, started)


def reported(
    *, texts: int, seed: str, on: Stack | None = None, unwatched: bool = False, without: Switch | None = None
) -> Report:
    """Nothing fails but what carriers lose; callbacks are late, lost, repeated and out of order.

    Args:
        unwatched: nobody looks after deliveries while texts wait to be sent again.
    """
    started = time.monotonic()
    with harness(seed=seed, on=on, without_=without, delivery=True) as run:
        run.unwatched = unwatched
        run.queue(texts, zone=NEW_YORK)
        run.drain()
        return _report(run, started)


def blind(*, texts: int, seed: str, lag: timedelta, on: Stack | None = None, without: Switch | None = None) -> Report:
    """Twilio's list hides messages for so long; every second text is accepted or dropped, without an answer."""
    started = time.monotonic()
    with harness(seed=seed, on=on, without_=without) as run:
        planned = run.queue(texts, zone=NEW_YORK)
        for text in planned[::4]:
            run.stack.twilio.fail(AcceptThenDrop(), to=text.phone)
        for text in planned[2::4]:
            run.stack.twilio.fail(DropUnaccepted(), to=text.phone)
        run.stack.twilio.fail(ListLag(lag), times=None)
        for _ in range(60):
            if run.outlook() <= timedelta(0):
                run.rounds += 1
                run.run_workers({"limit": 50})
            run.stack.move_clock(timedelta(minutes=1))
        run.drain()
        return _report(run, started, {"in doubt, though accepted": len(planned[::4])})


def _judged(run: Harness, book: Book) -> Verdict:
    more = (("without text",) if run.scheduled else ()) + (OF_DELIVERIES if run.carrier else ())
    verdict = Verdict((*KINDS, *more, *(OF_SENDERS if run.senders else ())))
    verdict.add(("woke and wrote", line) for line in run.wrote)
    verdict.add(
        ("bugs", line) for line in (*run.crew.bugs, *(run.carrier.refused if run.carrier else ()), *book.strays)
    )
    for text in run.texts:
        story = book.of(text)
        verdict.add(truths(story), name=text.name)
        verdict.add(at_the_end(story, with_reports=run.carrier is not None), name=text.name)
        verdict.add(allowed(text, story), name=text.name)
        if run.carrier:
            verdict.add(judge_deliveries(story, book.customers[text.customer_id]), name=text.name)
        if run.scheduled:
            verdict.add(has_no_text(book.sends.get(text.send_log_id), story), name=text.name)
        if run.senders:
            verdict.add(run.senders.wrong(text, story), name=text.name)
    if run.senders:
        verdict.add(judge_questions(run.asked, {text.phone: book.of(text) for text in run.texts}))
    return verdict


def _report(run: Harness, started: float, more: dict[str, object] | None = None) -> Report:
    book = read(run.stack, run.texts, run.carrier.told if run.carrier else None)
    rows = [row for story in book.stories.values() for row in story.rows]
    attempts = [attempt for story in book.stories.values() for attempt in story.attempts]
    ended = Counter(f"  {row['why_code']}" for row in rows if row["status"] in ("failed", "cancelled"))
    crew = run.crew
    numbers: dict[str, Any] = {
        **({"scheduled sends": len(book.sends)} if run.scheduled else {}),
        **(
            {"  became texts": sum(send["send_log_id"] == send["id"] for send in book.sends.values())}
            if run.scheduled
            else {}
        ),
        "texts": len(run.texts),
        "rounds": run.rounds,
        "worker runs": crew.counts["runs"],
        "workers killed": run.killed,
        **{f"  {point}": crew.kills[point] for point in KILL_POINTS if crew.kills},
        **({"  queueing scheduled sends": crew.kills["queueing"]} if run.scheduled else {}),
        "workers stalled past their lease": run.slept,
        "PostgreSQL killed": run.crashes,
        "PostgreSQL restarted": run.restarts,
        "PostgreSQL's answers lost": run.answers_dropped,
        "calls of PostgreSQL given up": crew.counts["trouble"],
        "Twilio's answers lost": crew.counts["doubt"],
        "found in Twilio's list": sum(
            (attempt["settled_by"], attempt["outcome"]) == ("reconcile", "accepted") for attempt in attempts
        ),
        "most attempts of a sent text": max(
            (row["attempt_count"] for row in rows if row["status"] == "completed"), default=0
        ),
        "Twilio messages": len(run.stack.twilio.ledger.entries()),
        **_of_senders(run),
        **Counter(row["status"] for row in rows),
        **dict(ended.most_common(8)),
        **(more or {}),
        **_of_deliveries(run, book, attempts),
        "seconds": round(time.monotonic() - started, 1),
    }
    return Report(numbers, _judged(run, book))


def _count(run: Harness, query: str) -> int:
    with run.stack.connect() as connection:
        row = connection.execute(query.encode()).fetchone()
    assert row is not None
    return int(row["n"])


def _of_senders(run: Harness) -> dict[str, object]:
    """From how many senders in how many accounts texts went out, and what happened to those."""
    if not run.senders:
        return {}
    addresses = {(entry.account_sid, entry.sent_by) for entry in run.stack.twilio.ledger.entries()}
    asked, counts = Counter(asked.what for asked in run.asked), run.senders.counts
    return {
        "  senders": len(addresses),
        "  accounts": len({account for account, _ in addresses}),
        "looks in Twilio's list": asked["list"],
        "questions about a message": asked["fetch"] + asked["change"],
        "businesses moved": counts["own"] + counts["environment's"],
        "  to the environment's sender": counts["environment's"],
        "  under a worker's hands": run.move_stalls,
        "senders removed": counts["removed"],
    }


def _of_deliveries(run: Harness, book: Book, attempts: list[Any]) -> dict[str, object]:
    """What was reported, what became of it, and what was done to those who look after it."""
    if not run.carrier:
        return {}
    ends, counts = Counter(a["delivery_status"] for a in attempts if a["twilio_sid"]), run.carrier.counts
    several = [story.messages for story in book.stories.values() if len(story.messages) > 1]
    return {
        "pollers killed": sum(run.crew.kills[point] for point in POLL_POINTS),
        **{f"  {point}": run.crew.kills[point] for point in POLL_POINTS},
        "pollers past their lease": run.poll_stalls,
        "looks after messages": sum(attempt["delivery_looks"] for attempt in attempts),
        "statuses of messages": counts["statuses"],
        **{f"callbacks {what}": counts[what] for what in ("lost", "late", "repeated", "without an answer")},
        **{f"messages {status}": n for status, n in ends.most_common()},
        "texts sent again": len(several),
        "  both arrived, as was learned later": sum(
            sum(message.arrived_at is not None for message in messages) > 1 for messages in several
        ),
    }
