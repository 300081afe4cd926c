"""The harness's end of the worker processes."""

import os
import pickle
import signal
import socket
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Final, Self

from tests.proofs.faults.orders import Event, Line, Order

_TIMEOUT_SECONDS: Final = 120.0
_ROOT: Final = Path(__file__).parents[3]


class Crew:
    """Starts workers, waits for them, and counts what they report. A context manager: none outlives it."""

    def __init__(self) -> None:
        self.kills: Counter[str] = Counter()
        """By point."""
        self.counts: Counter[str] = Counter()
        """runs; doubt: answers of Twilio that a living worker did not get; trouble: calls to the database that failed
        for good."""
        self.bugs: list[str] = []

    def __enter__(self) -> Self:
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.proofs.faults.worker", str(theirs.fileno())],
            cwd=_ROOT,
            pass_fds=[theirs.fileno()],
            start_new_session=True,
        )
        theirs.close()
        self._control.settimeout(_TIMEOUT_SECONDS)
        if not self._control.recv(16):
            raise RuntimeError("The process that forks the workers has ended; see its stderr")
        return self

    def __exit__(self, *_: object) -> None:
        self._control.close()
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def start(self, order: Order) -> Line:
        """Start one worker; its line."""
        self.counts["runs"] += 1
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.settimeout(_TIMEOUT_SECONDS)
        with theirs:
            socket.send_fds(self._control, [pickle.dumps(order)], [theirs.fileno()])
        return Line(ours)

    def wait(self, *workers: Line) -> None:
        """Until each of them has ended."""
        for worker in workers:
            while event := worker.hear():
                self._take(event)

    def wait_stalled(self, worker: Line) -> tuple[str, ...] | None:
        """Until it stands still; the bodies of the texts it holds. None: it came to its end."""
        while event := worker.hear():
            self._take(event)
            if event.kind == "stalled":
                return tuple(event.bodies)
        return None

    def _take(self, event: Event) -> None:
        if event.kind == "killed":
            self.kills[event.detail] += 1
        elif event.kind == "bug":
            self.bugs.append(event.detail)
        else:
            self.counts[event.kind] += 1
