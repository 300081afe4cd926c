"""The harness's end of the worker processes."""

import json
import queue
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Final, Self

from tests.proofs.faults.orders import Event, Order

_TIMEOUT_SECONDS: Final = 120.0
_ROOT: Final = Path(__file__).parents[3]


class Crew:
    """Starts workers, waits for them, and counts what they report. A context manager: none outlives it."""

    def __init__(self) -> None:
        self.kills: Counter[str] = Counter()
        """By point."""
        self.runs = 0
        self.stalls = 0
        self.doubts = 0
        """Answers of Twilio that a living worker did not get."""
        self.troubles = 0
        """Calls to the database that failed for good."""
        self.bugs: list[str] = []
        self._ended: set[int] = set()
        self._stopped: set[int] = set()
        self._held: dict[int, tuple[str, ...]] = {}
        self._events: queue.SimpleQueue[Event | None] = queue.SimpleQueue()

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.proofs.faults.worker"],
            cwd=_ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self._next_event()  # ready
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.stdin:
            self._process.stdin.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._reader.join(10)
        if self._process.stdout:
            self._process.stdout.close()

    def start(self, order: Order) -> None:
        """Start one worker."""
        self.runs += 1
        self._tell(order.model_dump_json())

    def wait(self, workers: Iterable[int]) -> None:
        """Until each of them has ended."""
        for worker in workers:
            while worker not in self._ended:
                self._take(self._next_event())

    def wait_stopped(self, worker: int) -> tuple[str, ...] | None:
        """Until it stands still; the bodies of the texts it holds. None: it came to its end."""
        while worker not in self._stopped and worker not in self._ended:
            self._take(self._next_event())
        return self._held.get(worker) if worker in self._stopped else None

    def resume(self, worker: int) -> None:
        """SIGCONT."""
        self._stopped.discard(worker)
        self._tell(json.dumps({"signal": signal.SIGCONT, "to": worker}))

    def _take(self, event: Event) -> None:
        match event.kind:
            case "killed":
                self.kills[event.detail] += 1
            case "stalled":
                self.stalls += 1
                self._held[event.worker] = event.bodies
            case "stopped":
                self._stopped.add(event.worker)
            case "doubt":
                self.doubts += 1
            case "trouble":
                self.troubles += 1
            case "bug":
                self.bugs.append(event.detail)
            case "ended":
                self._ended.add(event.worker)
            case "ready":
                pass

    def _next_event(self) -> Event:
        deadline = time.monotonic() + _TIMEOUT_SECONDS
        event = self._events.get(timeout=max(0.0, deadline - time.monotonic()))
        if event is None:
            raise RuntimeError("The process that forks the workers has ended; see its stderr")
        return event

    def _tell(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(line.encode() + b"\n")
        self._process.stdin.flush()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._events.put(Event.model_validate_json(line))
        self._events.put(None)
