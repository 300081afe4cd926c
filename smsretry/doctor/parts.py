"""The parts of the examination, which wait for other systems. All begin at once. None can stop or delay another."""

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from time import monotonic
from typing import Final, TypeAlias

from smsretry.adapters.answering import cause_of
from smsretry.retry.models import Finding

Part: TypeAlias = Callable[[], Iterable[Finding]]
SECONDS: Final = 50.0
"""How long all parts may take, from their common beginning. A part that needs longer is reported as unfinished."""

_READ_BY_EVERY_PART: Final = "HTTPS_PROXY, ALL_PROXY or SSL_CERT_FILE if one is set"
"""Variables that each connection reads. No other finding names them."""


def examine_parts(
    parts: Mapping[str, Part], *, seconds: float = SECONDS
) -> Iterator[Finding]:
    """The findings of all parts, in the parts' order, as far as they are known when the time is up.

    Args:
        parts: by the subject of the finding when a part breaks or does not end.
        seconds: from now.
    """
    deadline = monotonic() + seconds
    running = {subject: _start(subject, part) for subject, part in parts.items()}
    for subject, (thread, findings) in running.items():
        thread.join(max(0.01, deadline - monotonic()))
        is_unfinished = thread.is_alive()
        # A copy: the thread may go on to add findings.
        yield from list(findings)
        if is_unfinished:
            advice = f"was not checked to the end, because answers took more than {seconds:.0f} s: is it up?"
            yield Finding(subject=subject, ok=False, advice=advice)


def _start(subject: str, part: Part) -> tuple[threading.Thread, list[Finding]]:
    """A thread that examines a part, and the list that it fills. The process does not wait for the thread."""
    findings = list[Finding]()

    def run() -> None:
        try:
            for finding in part():
                findings.append(finding)
        except Exception as error:  # noqa: BLE001 - a library's, and the other parts are examined all the same
            cause = cause_of(error)
            advice = (
                f"could not be checked to the end ({cause}): "
                f"fix what is bad above, or {_READ_BY_EVERY_PART}; ask again"
            )
            findings.append(Finding(subject=subject, ok=False, advice=advice))

    thread = threading.Thread(target=run, name=f"doctor: {subject}", daemon=True)
    thread.start()
    return thread, findings
