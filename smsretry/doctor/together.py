"""Parts of the examination that wait for somebody else, all asked at once. None stops another, none takes for ever."""

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from queue import Empty, SimpleQueue
from time import monotonic
from typing import Final, TypeAlias

from smsretry.adapters.answering import why
from smsretry.retry.models import Finding

Part: TypeAlias = Callable[[], Iterable[Finding]]
SECONDS: Final = 50.0
"""How long all parts together may take. A part that needs longer is told as unfinished."""


def together(parts: Mapping[str, Part], *, seconds: float = SECONDS) -> Iterator[Finding]:
    """The findings of all parts, in the parts' order, as far as they are known after that time.

    Args:
        parts: by the subject that is told when a part breaks or does not end.
        seconds: from now.
    """
    ends = monotonic() + seconds
    for asked in [_Asked(subject, part) for subject, part in parts.items()]:
        yield from asked.findings(ends, seconds)


class _Asked:
    """A part that is under way in a thread of its own. The process does not wait for one that hangs."""

    def __init__(self, subject: str, part: Part) -> None:
        self._subject = subject
        self._part = part
        self._found: SimpleQueue[Finding | None] = SimpleQueue()
        threading.Thread(target=self._run, name=f"doctor: {subject}", daemon=True).start()

    def _run(self) -> None:
        try:
            for finding in self._part():
                self._found.put(finding)
        except Exception as error:  # noqa: BLE001 - of somebody else's code; the other parts are told all the same
            advice = f"could not be checked to the end ({why(error)}): fix what is bad above, and ask again"
            self._found.put(Finding(subject=self._subject, ok=False, advice=advice))
        self._found.put(None)

    def findings(self, ends: float, seconds: float) -> Iterator[Finding]:
        while True:
            try:
                finding = self._found.get(timeout=max(0.01, ends - monotonic()))
            except Empty:
                advice = f"was not checked to the end, because answers took more than {seconds:.0f} s: is it up?"
                yield Finding(subject=self._subject, ok=False, advice=advice)
                return
            if finding is None:
                return
            yield finding
