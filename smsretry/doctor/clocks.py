"""Do the clocks agree? The database's decides what is due and what is permitted."""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Final

from smsretry.doctor.parts import Findings, remark, verdict
from smsretry.instants import span

DATABASE: Final = "the database"
PROVIDER: Final = "Twilio"
PREFECT: Final = "Prefect"
_HERE: Final = "this machine"
_SET_IT: Final = "let NTP set the one that is wrong"
_TOLERANCE: Final = timedelta(seconds=30)
"""A clock that NTP sets is right to a fraction of a second; an answer may be under way for some."""


class ClockOffsets(dict[str, timedelta]):
    """By how much each clock is ahead of this machine's."""

    def __init__(self, now: Callable[[], datetime]) -> None:
        """`now`: this machine's clock."""
        super().__init__()
        self.now = now

    def record(self, clock: str, at: datetime) -> None:
        """Record what a clock shows now."""
        self[clock] = at - self.now()


def clock_findings(
    offsets: Mapping[str, timedelta], *, rehearsal: bool = False
) -> Findings:
    """Each clock that differs from the database's, or one line that they agree.

    Args:
        offsets: by how much each clock is ahead of this machine's.
        rehearsal: whether a stand-in is asked in place of Twilio; its stack may keep a clock of its own.
    """
    if DATABASE not in offsets:
        return
    remedy = "right for `smsretry up`" if rehearsal else _SET_IT
    clocks = {_HERE: timedelta(), **offsets}
    base = clocks.pop(DATABASE)
    wrong = {
        name: lead - base
        for name, lead in clocks.items()
        if abs(lead - base) > _TOLERANCE
    }
    for name, lead in wrong.items():
        side = "ahead of" if lead > timedelta() else "behind"
        difference = f"{span(abs(lead).total_seconds())} {side} the database's"
        advice = f"is {difference}, by which texts are due and permitted: {remedy}"
        # Twilio's clock is right: where it differs, the database's is wrong, and texts go out at wrong hours.
        is_bad = name == PROVIDER and not rehearsal
        yield (verdict if is_bad else remark)(f"clock of {name}", advice)
    if not wrong:
        yield remark(f"clocks of {', '.join([DATABASE, *clocks])}")
