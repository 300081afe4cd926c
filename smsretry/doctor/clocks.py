"""Do the clocks agree? The database's decides what is due and what is permitted."""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Final

from smsretry.doctor.parts import Findings
from smsretry.instants import span
from smsretry.retry.models import Finding

DATABASE: Final = "the database"
PROVIDER: Final = "Twilio"
PREFECT: Final = "Prefect"
_HERE: Final = "this machine"
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
    differences = {
        name: offset - offsets[DATABASE]
        for name, offset in {_HERE: timedelta(), **offsets}.items()
        if name != DATABASE
    }
    for name, difference in differences.items():
        if abs(difference) <= _TOLERANCE:
            continue
        side = "ahead of" if difference > timedelta() else "behind"
        advice = (
            f"is {span(abs(difference).total_seconds())} {side} the database's, "
            "by which texts are due and permitted: "
        )
        if rehearsal:
            advice += "right for `smsretry up`"
        else:
            advice += "let NTP set the one that is wrong"
        # Twilio's clock is right: where it differs, the database's is wrong, and texts go out at wrong hours.
        yield Finding(
            subject=f"clock of {name}",
            ok=rehearsal or name != PROVIDER,
            advice=advice,
        )
    if max(map(abs, differences.values())) <= _TOLERANCE:
        yield Finding(
            subject=f"clocks of {', '.join([DATABASE, *differences])}", ok=True
        )
