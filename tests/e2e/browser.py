"""A headless Chromium, driven as a person does it: look for words, click on them, type, and look again.

It speaks the DevTools protocol over the websocket library that Prefect brings.
"""

import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any, Final, Self

import httpx
from websockets.sync.client import ClientConnection, connect

_NAMES: Final = ("chromium", "chromium-browser", "google-chrome")
_FLAGS: Final = ("--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--window-size=1360,1040")
_LOOK_EVERY_SECONDS: Final = 0.05
_PATIENCE_SECONDS: Final = 20.0

# What a person sees: the innermost elements with these words, of those that the selector names.
_SAYING: Final = """
    ((words, selector) => {
        const said = (e) => (e.innerText ?? '').trim().replace(/\\s+/g, ' ');
        const seen = (e) => e.getClientRects().length && getComputedStyle(e).visibility !== 'hidden';
        const found = [...document.querySelectorAll(selector)].filter((e) => seen(e) && said(e) === words);
        return found.filter((e) => !found.some((other) => other !== e && e.contains(other)));
    })
"""
_CLICK: Final = "((e) => { e?.scrollIntoView(); e?.focus(); e?.click(); return !!e; })"


def chromium() -> str | None:
    """Where the program is, if it is installed."""
    return next(filter(None, map(shutil.which, _NAMES)), None)


class NotSeen(AssertionError):
    """What should be on the page is not; the message ends with what is."""


class Browser:
    """One page. A context manager: the program and its profile are gone afterwards."""

    def __init__(self) -> None:
        self._ids = count(1)
        self._profile = Path(tempfile.mkdtemp(prefix="smsretry-browser-"))
        self._program: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if self._program:
            with suppress(ProcessLookupError):  # its own children write into the profile, too
                os.killpg(self._program.pid, signal.SIGKILL)
            self._program.wait()
        with suppress(NotSeen):
            _until(self._forgets, lambda: "The profile is still written to")

    def _forgets(self) -> bool:
        shutil.rmtree(self._profile, ignore_errors=True)
        return not self._profile.exists()

    def _start(self) -> None:
        program = chromium()
        if program is None:
            raise FileNotFoundError(f"None of these is on the PATH: {', '.join(_NAMES)}")
        told = self._profile / "DevToolsActivePort"
        self._program = subprocess.Popen(
            [program, *_FLAGS, f"--user-data-dir={self._profile}", "--remote-debugging-port=0", "about:blank"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "TMPDIR": str(self._profile)},  # it leaves a directory there
            start_new_session=True,
        )
        _until(lambda: told.exists() and "\n" in told.read_text(), lambda: "Chromium did not start")
        port = told.read_text().split()[0]
        pages = httpx.get(f"http://127.0.0.1:{port}/json/list").json()
        address = next(page["webSocketDebuggerUrl"] for page in pages if page["type"] == "page")
        self._page: ClientConnection = connect(address, max_size=None)

    def go(self, url: str) -> None:
        """Open an address, as a bookmark does."""
        self._say("Page.navigate", url=url)

    @property
    def address(self) -> str:
        """Where it is."""
        return str(self.run("location.href"))

    @property
    def text(self) -> str:
        """All that the page says."""
        return str(self.run("document.body?.innerText ?? ''"))

    def sees(self, words: str, *, seconds: float = _PATIENCE_SECONDS) -> str:
        """Wait for words; returns all that the page says then.

        Raises:
            NotSeen: they did not come.
        """
        _until(lambda: words in self.text, lambda: f"{words!r} is not on the page:\n{self.text}", seconds)
        return self.text

    def until(self, true: Callable[[], bool], complaint: str) -> None:
        """Wait for anything else.

        Raises:
            NotSeen: it did not come.
        """
        _until(true, lambda: f"{complaint}:\n{self.text}")

    def click(self, words: str, *, on: str = "a, button, [role=option]", nth: int = 0) -> None:
        """Click the element that says just these words.

        Args:
            on: the selector of the elements to look at.
            nth: which of several; -1 is the last.

        Raises:
            NotSeen: there is none.
        """
        self.press(f"{_SAYING}({json.dumps(words)}, {json.dumps(on)}).at({nth})", words)

    def press(self, element: str, called: str) -> None:
        """Click the element that a script finds.

        Raises:
            NotSeen: there is none.
        """
        _until(lambda: self.run(f"{_CLICK}({element})"), lambda: f"There is no {called!r} to click:\n{self.text}")

    def type(self, text: str) -> None:
        """Type where the last click was."""
        self._say("Input.insertText", text=text)

    def follow(self, words: str) -> None:
        """Go where a link leads that would open a tab of its own.

        Raises:
            NotSeen: there is none.
        """
        link = f"{_SAYING}({json.dumps(words)}, 'a')[0]?.href"
        _until(lambda: self.run(link), lambda: f"No link says {words!r}:\n{self.text}")
        self.go(self.run(link))

    def run(self, script: str) -> Any:
        """What a script on the page answers; None while the page is being exchanged for another."""
        answer = self._say("Runtime.evaluate", expression=script, returnByValue=True)
        return answer.get("result", {}).get("value")

    def _say(self, method: str, **parameters: Any) -> dict[str, Any]:
        number = next(self._ids)
        self._page.send(json.dumps({"id": number, "method": method, "params": parameters}))
        while True:
            answer = json.loads(self._page.recv(60))
            if answer.get("id") == number:
                return dict(answer.get("result", {}))


def _until(true: Callable[[], bool], complaint: Callable[[], str], seconds: float = _PATIENCE_SECONDS) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        if time.monotonic() > deadline:
            raise NotSeen(complaint())
        time.sleep(_LOOK_EVERY_SECONDS)
