"""`smsretry up` with all its schedules, or with one of them alone; and random deaths of its runs."""

import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any, Final

import httpx
import psutil
import psycopg

from smsretry.local.demo.clock import move_to_morning
from smsretry.local.stack import Stack
from tests.e2e.running_up import Up, running_up
from tests.proofs.schedule.watch import Watch
from tests.proofs.side_by_side.texts import Kind, Planned, hand_over

RETRIES: Final = "process-sms-retries"
SENDS: Final = "process-scheduled-sends"
DELIVERIES: Final = "sync-delivery-status"
EVERY: Final = {
    RETRIES: timedelta(minutes=1),
    SENDS: timedelta(minutes=1),
    DELIVERIES: timedelta(minutes=5),
}


def patience(deployment: str) -> timedelta:
    """In what time after a kill a run must have completed: the next one starts, and may last a minute."""
    return EVERY[deployment] + timedelta(seconds=90)


@dataclass
class Stand:
    """One stack, what it was given, and what was done to it."""

    name: str
    up: Up
    schedules: tuple[str, ...]
    kinds: tuple[Kind, ...]
    watch: Watch
    ahead: timedelta
    """Of the stack's clock before this machine's."""
    second: int
    """Of the minute in which runs start."""
    connection: psycopg.Connection[dict[str, Any]]
    due: dict[Kind, dict[str, datetime]] = field(default_factory=lambda: {"queued": {}, "scheduled": {}})
    """By the stack's clock, by number."""
    kills: defaultdict[str, list[datetime]] = field(default_factory=lambda: defaultdict(list))
    """By this machine's clock, by deployment."""
    troubles: set[str] = field(default_factory=set)

    def take(self, text: Planned) -> None:
        """InFlight a text over, if it is of a kind that this stack is given."""
        if text.kind in self.kinds:
            self.due[text.kind][text.phone] = hand_over(self.connection, text)

    def look(self) -> None:
        """Note what must never be. A server that is too busy to answer is asked again at the next look."""
        with suppress(httpx.HTTPError):
            for name in self.schedules:
                found = self.watch.deployment(name)
                if found["paused"] or not any(schedule["active"] for schedule in found["schedules"]):
                    self.troubles.add(f"{name} was paused")
            if (late := self.watch.waiting_long(timedelta(seconds=90))) > 0:
                self.troubles.add(f"{late} late runs waited")

    def kill_soon(self, deployment: str, over: threading.Event, until: float) -> None:
        """SIGKILL to a run of this deployment, as soon as one is under way.

        Args:
            over: nobody is killed any more.
            until: nor after this time of the monotonic clock.
        """
        while not over.is_set() and time.monotonic() < until:
            with suppress(psutil.Error, httpx.HTTPError):  # a process has just ended, or the server is busy
                which = self.watch.deployment(deployment)["id"]
                if any(self._killed(process, which) for process in self._runs()):
                    self.kills[deployment].append(datetime.now(UTC))
                    return
            time.sleep(0.25)  # a run takes longer than that to start

    def _killed(self, process: psutil.Process, which: str) -> bool:
        """Whether it was a run of this deployment, and was killed. One may be under way for a tenth of a second."""
        while (run := self.watch.run_of(process)) and run["deployment_id"] == which and not run["end_time"]:
            if run["state_type"] == "RUNNING":
                process.kill()
                return True
            time.sleep(0.01)
        return False

    def _runs(self) -> Iterator[psutil.Process]:
        """The children of `smsretry_flows.serve`. Its guard's command line ends with the same words, but is longer."""
        for process in psutil.Process(self.up.pid).children(recursive=True):
            if process.cmdline()[1:] == ["-m", "smsretry_flows.serve"]:
                yield from process.children()


@contextmanager
def stand(
    folder: Path, name: str, kinds: tuple[Kind, ...], *, alone: str | None = None, second: int = 0
) -> Iterator[Stand]:
    """Start `smsretry up` at 9:30 on a weekday by its own clock, with one business and no texts.

    Args:
        folder: for all that it needs; is made.
        name: in the report.
        kinds: of texts that it is given.
        alone: the deployment whose schedule is left; the others' are switched off. None: as deployed.
        second: of the minute in which that one's runs start, so that no other stack's start at the same time.
    """
    folder.mkdir()
    with Stack(folder / "data") as stack:
        move_to_morning(stack)
        ahead = stack.ahead
        with stack.connect() as connection:
            connection.execute("insert into businesses (user_id, name) values (gen_random_uuid(), 'Shop')")
    with running_up(folder, "--empty") as up, up.connect() as connection:
        if alone:
            _leave_alone(f"{up.url}/api", alone, second)
        schedules = (alone,) if alone else tuple(EVERY)
        yield Stand(name, up, schedules, kinds, Watch(f"{up.url}/api"), ahead, second, connection)


def _leave_alone(api_url: str, name: str, second: int) -> None:
    """Switch all schedules off, and start this deployment's runs at that second of each minute."""
    with httpx.Client(base_url=api_url, timeout=30) as client:
        for found in client.post("/deployments/filter", json={}).raise_for_status().json():
            at = f"/deployments/{found['id']}/schedules"
            for schedule in found["schedules"]:
                client.patch(f"{at}/{schedule['id']}", json={"active": False}).raise_for_status()
            if found["name"] == name:
                every = {"interval": EVERY[name].total_seconds(), "anchor_date": f"2026-01-01T00:00:{second:02}Z"}
                schedules = [{"schedule": every, "active": True, "slug": "alone"}]
                client.post(at, json=schedules).raise_for_status()


def deaths(deployment: str, last: float, seed: int) -> list[float]:
    """When runs of this deployment are to be killed, in seconds from the beginning: the same in each stack.

    The intervals are two and a half to five and a half times the schedule's.
    """
    dice, found, every = Random(f"{seed} {deployment}"), [], EVERY[deployment].total_seconds()
    at = every * dice.uniform(1, 3)
    while at < last:
        found.append(at)
        at += every * dice.uniform(2.5, 5.5)
    return found


@contextmanager
def killing(stands: list[Stand], minutes: float, seed: int) -> Iterator[None]:
    """Kill runs at random in the background; the last early enough to see, before the end, what comes after it."""
    over, began = threading.Event(), time.monotonic()

    def reap(victim: Stand, deployment: str) -> None:
        last = minutes * 60 - patience(deployment).total_seconds()
        for at in deaths(deployment, last, seed):
            if over.wait(max(began + at - time.monotonic(), 0)):
                return
            victim.kill_soon(deployment, over, began + last)

    reapers = [
        threading.Thread(target=reap, args=(victim, deployment), daemon=True)
        for victim in stands
        for deployment in victim.schedules
    ]
    for reaper in reapers:
        reaper.start()
    try:
        yield
    finally:
        over.set()
        for reaper in reapers:
            reaper.join(60)
