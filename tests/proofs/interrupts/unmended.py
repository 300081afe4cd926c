"""`smsretry` without what ends its parts: Ctrl-C interrupts wherever it comes, and nobody guards."""

import signal

from smsretry.__main__ import main
from smsretry.local import commands
from smsretry.local.process import guard
from tests.proofs.interrupts import unmended_guard


def _interrupt_anywhere() -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)


if __name__ == "__main__":
    vars(commands).update(note=_interrupt_anywhere)
    guard.__file__ = unmended_guard.__file__  # what GuardedProcess runs
    main()
