"""A run that is asked to stop ends what is under way, and gives the rest back."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Protocol


class Stoppable(Protocol):
    """A run, as far as a signal concerns it."""

    def stop(self, why: str) -> None:
        """Let no further send begin."""


@contextmanager
def stopped_by(run: Stoppable, *signals: signal.Signals) -> Iterator[None]:
    """Let these signals stop the run and nothing else: sends under way end, and the rest is given back.

    Only the main thread may handle signals. In any other they keep their meaning.
    """

    def stop(number: int, _frame: FrameType | None) -> None:
        run.stop(f"This run was asked to stop ({signal.Signals(number).name})")

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, stop) for number in signals}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
