"""Runners that are started, stopped and killed, and what Prefect saw of their runs."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import psutil

from smsretry.local.demo.run import ROOT
from tests.support.records import Record

SCHEDULED = ("process-sms-retries", "process-scheduled-sends")
"""The deployments that run every minute."""
_PAGE = 200


@dataclass
class Crew:
    """The runners of both schedules, and the Prefect server at an address that ends with /api."""

    api_url: str
    environment: dict[str, str]
    logs: Path
    every_seconds: float = 6
    alive: list["subprocess.Popen[bytes]"] = field(default_factory=list)
    began: int = 0

    def start(self) -> None:
        """One more runner."""
        self.began += 1
        with (self.logs / f"runner-{self.began}.log").open("wb") as log:
            self.alive.append(
                subprocess.Popen(
                    [
                        sys.executable,
                        "-m",
                        "tests.proofs.schedule.runner",
                        str(self.every_seconds),
                    ],
                    cwd=ROOT,
                    env={**os.environ, **self.environment},
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                )
            )

    def stop(self, place: int = 0) -> None:
        """SIGTERM, as a supervisor does."""
        runner = self.alive.pop(place)
        runner.terminate()
        runner.wait(180)

    def kill(self, place: int = 0, *, with_runs: bool = True) -> None:
        """SIGKILL; with its runs, as a machine that loses power; or without, as the kernel picks one."""
        runner = self.alive.pop(place)
        victims = [psutil.Process(runner.pid)]
        if with_runs:
            victims += victims[0].children(recursive=True)
        for victim in victims:
            if victim.is_running():
                victim.kill()
        runner.wait(60)

    def kill_a_run(self, within: timedelta) -> bool:
        """SIGKILL to the process of one run, as soon as one is under way; whether one was."""
        until = datetime.now(UTC) + within
        while datetime.now(UTC) < until:
            for runner in self.alive:
                for process in filter(
                    self._is_under_way, psutil.Process(runner.pid).children()
                ):
                    process.kill()
                    return True
            time.sleep(0.05)
        return False

    def _is_under_way(self, process: psutil.Process) -> bool:
        """One that is just starting or ending has nothing to lose, and Prefect may not notice its death."""
        try:
            run = process.environ()["PREFECT__FLOW_RUN_ID"]
        except (psutil.Error, KeyError):
            return False
        answer = httpx.get(f"{self.api_url}/flow_runs/{run}", timeout=30)
        return answer.is_success and answer.json()["state_type"] == "RUNNING"

    def all_stop(self) -> None:
        """At the end."""
        while self.alive:
            self.kill()

    def complete(self, within: timedelta) -> None:
        """Wait for a run of each schedule that completes from now on.

        Raises:
            AssertionError: none did in that time.
        """
        since, waiting = datetime.now(UTC), set(SCHEDULED)
        while waiting and datetime.now(UTC) < since + within:
            time.sleep(0.3)
            waiting -= {
                name
                for name in waiting
                if self.alive and self.completed_since(since, name)
            }
        assert not waiting, (
            f"no run of {waiting} completed in {within} with {len(self.alive)} runners; {self._last_words()}"
        )

    def paused(self) -> list[str]:
        """The deployments that Prefect has paused."""
        answers = [
            httpx.get(f"{self.api_url}/deployments/name/{name}/{name}", timeout=30)
            for name in SCHEDULED
        ]
        return [
            answer.json()["name"]
            for answer in answers
            if answer.raise_for_status().json()["paused"]
        ]

    def completed_since(self, since: datetime, *names: str) -> list[datetime]:
        """When runs of these deployments, or of all, completed."""
        ended = {
            "state": {"type": {"any_": ["COMPLETED"]}},
            "end_time": {"after_": since.isoformat()},
        }
        runs = self._runs(
            {"flow_runs": ended, "deployments": {"name": {"any_": names or SCHEDULED}}}
        )
        return [datetime.fromisoformat(run["end_time"]) for run in runs]

    def ended_badly(self) -> int:
        """How many runs crashed or failed."""
        return len(
            self._runs(
                {"flow_runs": {"state": {"type": {"any_": ["CRASHED", "FAILED"]}}}}
            )
        )

    def waiting_long(self, longer: timedelta) -> int:
        """Runs that have been due for longer than that."""
        due = (datetime.now(UTC) - longer).isoformat()
        late = {
            "state": {"type": {"any_": ["SCHEDULED"]}},
            "next_scheduled_start_time": {"before_": due},
        }
        return len(self._runs({"flow_runs": late}))

    def _runs(self, query: Record) -> list[Record]:
        """All such runs, page by page."""
        runs: list[Record] = []
        while True:
            body = {
                **query,
                "sort": "END_TIME_DESC",
                "limit": _PAGE,
                "offset": len(runs),
            }
            page = (
                httpx.post(f"{self.api_url}/flow_runs/filter", json=body, timeout=30)
                .raise_for_status()
                .json()
            )
            runs += page
            if len(page) < _PAGE:
                return runs

    def _last_words(self) -> str:
        """The end of the newest runner's log."""
        logs = sorted(
            self.logs.glob("runner-*.log"), key=lambda log: log.stat().st_mtime
        )
        return logs[-1].read_text(errors="replace")[-2000:] if logs else ""


@contextmanager
def crew(
    api_url: str, environment: dict[str, str], logs: Path, every_seconds: float
) -> Iterator[Crew]:
    """A crew that leaves nobody behind."""
    crew_at_work = Crew(api_url, environment, logs, every_seconds)
    try:
        yield crew_at_work
    finally:
        crew_at_work.all_stop()
