"""What was done at the desk, how long it took, and what it looked like."""

import time
from itertools import count
from pathlib import Path

from tests.e2e.browser import Browser


class Diary:
    """The steps of one way. Time that is spent on taking pictures is left out."""

    def __init__(self, way: str, pictures: Path | None = None) -> None:
        self.way = way
        self.seconds = 0.0
        self.lines: list[str] = []
        self._pictures = pictures
        self._numbers = count(1)
        self._since = time.monotonic()

    def note(self, done: str, page: Browser | None = None) -> None:
        """A step is done; keep a picture of the page, if pictures are wanted."""
        took = time.monotonic() - self._since
        self.seconds += took
        self.lines.append(f"{took:6.1f} s  {done}")
        if page and self._pictures:
            name = "-".join(done.lower().replace(",", "").replace(":", "").split()[:6])
            page.picture(self._pictures / f"{next(self._numbers):02}-{name}.png")
        self._since = time.monotonic()

    def __str__(self) -> str:
        return "\n".join([f"{self.way}: {self.seconds:.1f} s", *self.lines])
