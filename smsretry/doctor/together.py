"""Parts of the examination that wait for somebody else, all asked at once. None stops another, none takes for ever."""

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from time import monotonic
from typing import Final, TypeAlias

from smsretry.adapters.answering import cause_of
from smsretry.retry.models import Finding

Part: TypeAlias = Callable[[], Iterable[Finding]]
SECONDS: Final = 50.0
"""How long all parts together may take. A part that needs longer is told as unfinished."""

_AROUND: Final = "HTTPS_PROXY, ALL_PROXY or SSL_CERT_FILE if one is set"
"""What each connection reads, and nothing else is told of."""


def together(
    parts: Mapping[str, Part], *, seconds: float = SECONDS
) -> Iterator[Finding]:
    """The findings of all parts, in the parts' order, as far as they are known after that time.

    Args:
        parts: by the subject that is told when a part breaks or does not end.
        seconds: from now.
    """
    ends = monotonic() + seconds
    for subject, (thread, findings) in {
        subject: _start(subject, part) for subject, part in parts.items()
    }.items():
        thread.join(max(0.01, ends - monotonic()))
        unfinished = thread.is_alive()
        yield from list(findings)
        if unfinished:
            advice = f"was not checked to the end, because answers took more than {seconds:.0f} s: is it up?"
            yield Finding(subject=subject, ok=False, advice=advice)


def _start(subject: str, part: Part) -> tuple[threading.Thread, list[Finding]]:
    """A part that is under way in a thread of its own, which the process does not wait for."""
    findings = list[Finding]()

    def run() -> None:
        try:
            for finding in part():
                findings.append(finding)
        except Exception as error:  # noqa: BLE001 - of somebody else's code; the other parts are told all the same
            cause = cause_of(error)
            advice = f"could not be checked to the end ({cause}): fix what is bad above, or {_AROUND}; ask again"
            findings.append(Finding(subject=subject, ok=False, advice=advice))

    thread = threading.Thread(target=run, name=f"doctor: {subject}", daemon=True)
    thread.start()
    return thread, findings
