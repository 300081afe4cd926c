"""The parts of the examination, which wait for other systems. All begin at once. None can stop or delay another."""

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from time import monotonic
from typing import TypeAlias

from smsretry.adapters.answering import cause_of
from smsretry.retry.models import Finding

Findings: TypeAlias = Iterator[Finding]
Part: TypeAlias = Callable[[], Iterable[Finding]]


def verdict(subject: str, problem: str | None) -> Finding:
    """A finding that is bad if there is a problem."""
    return Finding(subject=subject, ok=problem is None, advice=problem)


def remark(subject: str, advice: str | None = None) -> Finding:
    """A finding that keeps no text; a warning if there is advice."""
    return Finding(subject=subject, ok=True, advice=advice)


def examine_parts(parts: Mapping[str, Part], *, seconds: float = 50.0) -> Findings:
    """The findings of all parts, in the parts' order, as far as they are known when the time is up.

    Args:
        parts: by the subject of the finding when a part breaks or does not end.
        seconds: the most that all parts may take. A part that needs longer is reported as unfinished.
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
            yield verdict(subject, advice)


def _start(subject: str, part: Part) -> tuple[threading.Thread, list[Finding]]:
    """A thread that examines a part, and the list that it fills. The process does not wait for the thread."""
    findings = list[Finding]()

    def run() -> None:
        try:
            for finding in part():
                findings.append(finding)
        except Exception as error:  # noqa: BLE001 - a library's, and the other parts are examined all the same
            cause = cause_of(error)
            # Each connection reads these variables, and no other finding names them.
            advice = (
                f"could not be checked to the end ({cause}): fix what is bad above, or "
                "HTTPS_PROXY, ALL_PROXY or SSL_CERT_FILE if one is set; ask again"
            )
            findings.append(verdict(subject, advice))

    thread = threading.Thread(target=run, name=f"doctor: {subject}", daemon=True)
    thread.start()
    return thread, findings
