"""Runners and runs are started, stopped and killed at random.

Both schedules that run every minute go on beside each other, in a hurry, and never stop unnoticed: while a runner is
alive, runs of each complete; when none is, somebody is told; when one comes back, runs complete again, and no more than
a few late ones wait. The receiver has what it should, and no more. Each text that comes due meanwhile goes out once.

--every-seconds: of the schedules.
"""

import tempfile
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from statistics import quantiles

from smsretry.local.prefect_server import PrefectServer
from smsretry.local.stack import Stack
from smsretry.testing.stack import NOON
from tests.proofs.schedule.alarm import (
    SILENT,
    install_in_a_hurry,
    unexplained,
    unnoticed,
)
from tests.proofs.schedule.crew import SCHEDULED, Crew, crew
from tests.proofs.town.book import read_book
from tests.proofs.town.command import main
from tests.proofs.town.judge import at_the_end, judged
from tests.proofs.town.report import Finding, ProofReport, Verdict
from tests.proofs.town.texts import Text, new_text, open_business, plan, write
from tests.support.receiver import Receiver, receiving

_PATIENCE = timedelta(seconds=180)
"""Two runs of 70 s, because the first may be killed, and their starts on a busy machine."""
_MOST = 3
"""Runners at once."""
_A_MINUTE = 10
"""Texts of each kind: queued, and planned."""


def verdict() -> Verdict:
    """Nothing is excused."""
    return Verdict(
        (
            "lost", "doubled", "misreported", "untrue end", "unsettled", "stuck", "extra rows", "astray",
            "out of hours", "too many attempts", "a schedule stopped", "not noticed", "told without a reason", "bugs",
        )
    )  # fmt: skip


def _prove(
    stack: Stack, *, minutes: float, seed: str, every_seconds: float
) -> ProofReport:
    silence = timedelta(seconds=max(10, 4 * every_seconds))
    with (
        tempfile.TemporaryDirectory() as folder,
        PrefectServer(Path(folder, "prefect"), stack.postgres) as server,
        receiving() as receiver,
    ):
        api_url, environment = (
            f"{server.url}/api",
            {**server.environment(), **stack.environment()},
        )
        with crew(api_url, environment, Path(folder), every_seconds) as runners:
            runners.start()
            runners.complete(_PATIENCE)
            install_in_a_hurry(api_url, receiver.block(api_url), silence)
            return _run(stack, runners, receiver, silence, minutes, Random(seed))


def _run(
    stack: Stack,
    runners: Crew,
    receiver: Receiver,
    silence: timedelta,
    minutes: float,
    luck: Random,
) -> ProofReport:
    stack.set_clock(NOON)
    texts, began = _texts(stack, minutes, luck), datetime.now(UTC)
    counts, findings = Counter[str](), list[Finding]()
    while datetime.now(UTC) < began + timedelta(minutes=minutes):
        move = luck.choice(["start", "stop", "kill", "power", "run", "nobody"])
        counts[move] += _moved(runners, move, luck)
        findings += [
            ("a schedule stopped", f"{name} was paused after {move}")
            for name in runners.paused()
        ]
        try:
            runners.complete(_PATIENCE)
        except AssertionError as error:
            findings.append(("a schedule stopped", f"after {move}: {error}"))
        if (late := runners.waiting_long(_PATIENCE)) > 2:
            findings.append(
                ("a schedule stopped", f"after {move}: {late} late runs wait")
            )
        time.sleep(luck.uniform(0, 5))
    time.sleep(
        20
    )  # the last alerts arrive, and what they are about has happened before them
    completed, ended = (
        {name: runners.completed_since(began, name) for name in SCHEDULED},
        runners.ended_badly(),
    )
    findings += [
        ("told without a reason", line)
        for line in unexplained(receiver, completed, ended, silence)
    ]
    findings += [
        ("not noticed", line)
        for line in unnoticed(receiver, completed, datetime.now(UTC), silence)
    ]
    _let_end(stack, runners)
    book = read_book(stack, texts)
    verdict_kept = judged(book, texts, verdict(), lambda _, story: at_the_end(story))
    verdict_kept.add(findings)
    lateness = [
        (m.at - text.due_at).total_seconds()
        for text in texts
        for m in book.of(text).messages[:1]
    ]
    cuts = quantiles(lateness, n=20) if len(lateness) > 1 else [0.0] * 19
    numbers: dict[str, object] = {
        "minutes": minutes,
        **{f"  {move}": count for move, count in sorted(counts.items())},
        "runs completed": sum(map(len, completed.values())),
        "runs crashed or failed": ended,
        "alerts": len(receiver.alerts),
        "  of a silence": sum(len(receiver.about(words)) for words in SILENT.values()),
        "texts": len(texts),
        "  late by, s (median, 95 %)": f"{cuts[9]:.1f}, {cuts[18]:.1f}",
    }
    return ProofReport(numbers, verdict_kept)


def _texts(stack: Stack, minutes: float, luck: Random) -> list[Text]:
    """They come due at random instants; every second one is a scheduled send at first."""
    count = round(minutes * _A_MINUTE)
    dues = [
        stack.now() + timedelta(minutes=luck.uniform(0, minutes))
        for _ in range(2 * count)
    ]
    texts = [
        new_text(
            "schedule",
            "queued" if n < count else "planned",
            n,
            due,
            phone=f"+1212555{n:04}",
        )
        for n, due in enumerate(dues)
    ]
    with stack.connect() as connection:
        for business_id in {text.business_id for text in texts}:
            open_business(connection, business_id)
        write(connection, texts[:count])
        plan(connection, texts[count:])
    return texts


def _let_end(stack: Stack, runners: Crew) -> None:
    """A dead worker's texts are taken back after ten minutes, and looked for: the clock need not take as long."""
    query = """select (select count(*) from sms_retry_queue where status in ('pending', 'processing'))
                    + (select count(*) from scheduled_sends where status = 'scheduled') as n"""
    for _ in range(12):
        with stack.connect() as connection:
            row = connection.execute(query).fetchone()
        if not row or not row["n"]:
            return
        stack.move_clock(timedelta(minutes=11))
        runners.complete(_PATIENCE)


def _moved(runners: Crew, move: str, luck: Random) -> int:
    """Make the move where it can be made; 1 if it was. A last runner that goes is replaced, later or sooner."""
    place = luck.randrange(len(runners.alive)) if runners.alive else 0
    match move:
        case "start" if len(runners.alive) < _MOST:
            runners.start()
        case "stop" if runners.alive:
            runners.stop(place)
        case "kill" if runners.alive:
            runners.kill(place, with_runs=False)
        case "power" if runners.alive:
            runners.kill(place)
        case "run":
            return int(runners.kill_a_run(_PATIENCE))
        case "nobody":
            runners.all_stop()
            time.sleep(luck.uniform(10, 150))
        case _:
            return 0
    if not runners.alive:
        runners.start()
    return 1


if __name__ == "__main__":
    raise SystemExit(
        main("schedule", __doc__, _prove, {}, minutes=60.0, every_seconds=12.0)
    )
