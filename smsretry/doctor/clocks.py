"""Do the clocks agree: this machine's, the database's, the provider's, Prefect's?"""

from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Final

from smsretry.instants import span
from smsretry.retry.models import Finding

HERE: Final = "this machine"
DATABASE: Final = "the database"
PROVIDER: Final = "Twilio"
PREFECT: Final = "Prefect"
_TOLERANCE: Final = timedelta(seconds=30)
"""A clock that NTP sets is right to a fraction of a second; an answer may be under way for some."""
_BY_IT: Final = {
    HERE: "certificates and logs go by it",
    DATABASE: "due times and quiet hours go by it",
    PROVIDER: "evidence of sent texts goes by it",
    PREFECT: "runs start by it",
}
_REHEARSAL: Final = "It is right for `smsretry up`, whose stack keeps a clock of its own"
_SET: Final = "let NTP set it (`timedatectl set-ntp true`)"


def clock_findings(ahead: Mapping[str, timedelta], *, rehearsal: bool = False) -> Iterator[Finding]:
    """A finding for each clock that most others contradict, or one line that they agree.

    If as many say one thing as another, the provider's is believed, which many people watch.

    Args:
        ahead: by how much each clock is ahead of this machine's.
        rehearsal: whether a stand-in is asked in place of Twilio; its stack may keep a clock of its own.
    """
    for finding in _contradicted(ahead):
        if rehearsal and not finding.ok:
            yield finding.model_copy(update={"ok": True, "advice": f"{finding.advice}. {_REHEARSAL}"})
        else:
            yield finding


def _contradicted(ahead: Mapping[str, timedelta]) -> Iterator[Finding]:
    clocks = {HERE: timedelta(0), **ahead}
    if len(clocks) == 1:
        return
    like = {name: [one for one in clocks if abs(clocks[one] - at) <= _TOLERANCE] for name, at in clocks.items()}
    right = max(clocks, key=lambda name: (len(like[name]), name == PROVIDER))
    wrong = [name for name in clocks if name not in like[right]]
    if not wrong:
        yield Finding(subject=f"clocks of {_listed(list(clocks))}", ok=True)
    elif len(clocks) == 2:
        apart = span(abs(clocks[wrong[0]] - clocks[right]).total_seconds())
        advice = f"are {apart} apart, and {_BY_IT[wrong[0]]}: {_SET} wherever it is wrong"
        yield Finding(subject=f"clocks of {_listed(list(clocks))}", ok=False, advice=advice)
    else:
        for name in wrong:
            off = clocks[name] - clocks[right]
            side = "ahead of" if off > timedelta(0) else "behind"
            advice = f"is {span(abs(off).total_seconds())} {side} {_listed(like[right])}, and {_BY_IT[name]}: {_SET}"
            yield Finding(subject=f"clock of {name}", ok=False, advice=advice)


def _listed(names: list[str]) -> str:
    return f"{', '.join(names[:-1])} and {names[-1]}" if len(names) > 1 else names[0]
