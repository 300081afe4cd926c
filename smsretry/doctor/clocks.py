"""Do the clocks agree? The database's decides what is due and what is permitted; Twilio's is watched by many people."""

from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Final

from smsretry.instants import span
from smsretry.retry.models import Finding

DATABASE: Final = "the database"
PROVIDER: Final = "Twilio"
PREFECT: Final = "Prefect"
_HERE: Final = "this machine"
_TOLERANCE: Final = timedelta(seconds=30)
"""A clock that NTP sets is right to a fraction of a second; an answer may be under way for some."""


def clock_findings(
    ahead: Mapping[str, timedelta], *, rehearsal: bool = False
) -> Iterator[Finding]:
    """Each clock that differs from the database's, or one line that they agree.

    Args:
        ahead: by how much each clock is ahead of this machine's.
        rehearsal: whether a stand-in is asked in place of Twilio; its stack may keep a clock of its own.
    """
    if DATABASE not in ahead:
        return
    offsets = {
        name: at - ahead[DATABASE]
        for name, at in {_HERE: timedelta(), **ahead}.items()
        if name != DATABASE
    }
    for name, off in offsets.items():
        if abs(off) > _TOLERANCE:
            side = "ahead of" if off > timedelta() else "behind"
            advice = (
                f"is {span(abs(off).total_seconds())} {side} the database's, "
                "by which texts are due and permitted: "
            )
            set_it = (
                "right for `smsretry up`"
                if rehearsal
                else "let NTP set the one that is wrong"
            )
            ok = rehearsal or name != PROVIDER
            yield Finding(subject=f"clock of {name}", ok=ok, advice=advice + set_it)
    if not any(abs(off) > _TOLERANCE for off in offsets.values()):
        yield Finding(subject=f"clocks of {', '.join([DATABASE, *offsets])}", ok=True)
