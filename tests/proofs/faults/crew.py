"""The harness's end of the worker processes."""

import multiprocessing
from collections import Counter
from multiprocessing.connection import Connection

from tests.proofs.faults.orders import Event, Order
from tests.proofs.faults.worker import work

_TIMEOUT_SECONDS = 120.0
_FORKED = multiprocessing.get_context("forkserver")
_FORKED.set_forkserver_preload(["tests.proofs.faults.warm"])


class Crew:
    """Starts workers, waits for them, and counts what they report."""

    def __init__(self) -> None:
        self.kills: Counter[str] = Counter()
        """By point."""
        self.counts: Counter[str] = Counter()
        """runs; doubt: answers of Twilio that a living worker did not get; trouble: calls to the database that failed
        for good."""
        self.bugs: list[str] = []

    def start(self, order: Order) -> Connection:
        """Start one worker; a line to it, which is at its end when the worker has died."""
        self.counts["runs"] += 1
        ours, theirs = _FORKED.Pipe()
        with theirs:
            _FORKED.Process(target=work, args=(order, theirs), daemon=True).start()
        return ours

    def wait(self, *workers: Connection) -> None:
        """Until each of them has ended."""
        for worker in workers:
            while self._hear(worker):
                pass

    def wait_stalled(self, worker: Connection) -> tuple[str, ...] | None:
        """Until it stands still; the bodies of the texts it holds. None: it came to its end."""
        while event := self._hear(worker):
            if event.kind == "stalled":
                return event.bodies
        return None

    def _hear(self, worker: Connection) -> Event | None:
        if not worker.poll(_TIMEOUT_SECONDS):
            raise TimeoutError("A worker has said nothing for too long")
        try:
            event: Event = worker.recv()
        except (EOFError, ConnectionResetError):
            worker.close()
            return None
        if event.kind == "killed":
            self.kills[event.detail] += 1
        elif event.kind == "bug":
            self.bugs.append(event.detail)
        else:
            self.counts[event.kind] += 1
        return event
