"""Runners that are started, stopped and killed, and what Prefect and the receiver saw of it."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psutil

from smsretry.local.demo.run import ROOT
from tests.proofs.schedule.watch import Watch


@dataclass
class Crew(Watch):
    """The runners of one schedule."""

    environment: dict[str, str]
    logs: Path
    every_seconds: float = 4
    alive: list["subprocess.Popen[bytes]"] = field(default_factory=list)
    began: int = 0

    def start(self) -> None:
        """One more runner."""
        self.began += 1
        log = (self.logs / f"runner-{self.began}.log").open("wb")
        with log:
            self.alive.append(
                subprocess.Popen(
                    [sys.executable, "-m", "tests.proofs.schedule.runner", str(self.every_seconds)],
                    cwd=ROOT,
                    env={**os.environ, **self.environment},
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                )
            )

    def stop(self, which: int = 0) -> None:
        """SIGTERM, as a supervisor does."""
        runner = self.alive.pop(which)
        runner.terminate()
        runner.wait(60)

    def kill(self, which: int = 0, *, with_runs: bool = True) -> None:
        """SIGKILL; with its runs, as a machine that loses power; or without, as the kernel picks one."""
        runner = self.alive.pop(which)
        victims = [psutil.Process(runner.pid)]
        if with_runs:
            victims += victims[0].children(recursive=True)
        for victim in victims:
            if victim.is_running():
                victim.kill()
        runner.wait(60)

    def kill_a_run(self) -> bool:
        """SIGKILL to the process of one run that is under way; whether there was one."""
        for process in self.under_way():
            process.kill()
            return True
        return False

    def under_way(self, which: int | None = None) -> Iterator[psutil.Process]:
        """The processes of runs that are under way: of one runner, or of all."""
        for runner in self.alive if which is None else [self.alive[which]]:
            yield from filter(self.is_under_way, psutil.Process(runner.pid).children())

    def all_stop(self) -> None:
        """At the end."""
        while self.alive:
            self.kill()

    def completes(self, within: timedelta) -> timedelta:
        """Wait for a run that completes from now on; returns how long it took.

        Raises:
            AssertionError: none did in that time.
        """
        since = datetime.now(UTC)
        while datetime.now(UTC) < since + within:
            if self.alive and (done := self.completed()) and done[0] > since:
                return datetime.now(UTC) - since
            time.sleep(0.3)
        raise AssertionError(f"no run completed in {within} with {len(self.alive)} runners; {self.last_words()}")

    def last_words(self) -> str:
        """The end of the newest runner's log."""
        logs = sorted(self.logs.glob("runner-*.log"), key=lambda log: log.stat().st_mtime)
        return logs[-1].read_text(errors="replace")[-2000:] if logs else ""


@contextmanager
def crew(api_url: str, environment: dict[str, str], logs: Path) -> Iterator[Crew]:
    """A crew that leaves nobody behind."""
    found = Crew(api_url, environment, logs)
    try:
        yield found
    finally:
        found.all_stop()
