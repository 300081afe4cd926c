"""A run that is asked to stop ends what is under way, and gives the rest back."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from smsretry.sending.flow_control import FlowControl


@contextmanager
def stopped_by(control: FlowControl, *signals: signal.Signals) -> Iterator[None]:
    """Let these signals stop a run and nothing else: sends under way end, and the rest is given back.

    Only the main thread may handle signals. In any other they keep their meaning.
    """

    def stop(number: int, _frame: FrameType | None) -> None:
        control.stop(f"This run was asked to stop ({signal.Signals(number).name})")

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, stop) for number in signals}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
