"""A headless Chromium that opens addresses as a person does, and waits for what a page shows.

It speaks the DevTools protocol over the websocket library that Prefect brings.
"""

import base64
import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any, Self

import httpx
import pytest
from websockets.sync.client import ClientConnection, connect

from tests.support.records import Record
from tests.support.waiting import until

_NAMES = ("chromium", "chromium-browser", "google-chrome")
_FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--hide-scrollbars",
    "--window-size=1360,1040",
)
_SHOWN = """
    [document.body?.innerText, ...[...document.querySelectorAll('a')].map((a) => a.href),
     ...[...document.querySelectorAll('input, textarea')].map((field) => field.value)].join('\\n')
"""


def chromium() -> str:
    """Where the program is. Without it the test is skipped."""
    program = next(filter(None, map(shutil.which, _NAMES)), None)
    if program is None:
        pytest.skip("no Chromium on the PATH: `apt-get install chromium`")
    return program


class Browser:
    """One page. A context manager: the program and its profile are gone afterwards."""

    def __init__(self) -> None:
        self._ids = count(1)
        self._profile = Path(tempfile.mkdtemp(prefix="smsretry-browser-"))
        self._program = subprocess.Popen(
            [
                chromium(),
                *_FLAGS,
                f"--user-data-dir={self._profile}",
                "--remote-debugging-port=0",
                "about:blank",
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={
                **os.environ,
                "TMPDIR": str(self._profile),
            },  # it leaves a directory there
            start_new_session=True,
        )

    def __enter__(self) -> Self:
        try:
            path = self._profile / "DevToolsActivePort"
            until(lambda: path.exists() and "\n" in path.read_text())
            pages = httpx.get(
                f"http://127.0.0.1:{path.read_text().split()[0]}/json/list"
            ).json()
            address = next(
                page["webSocketDebuggerUrl"] for page in pages if page["type"] == "page"
            )
            self._page: ClientConnection = connect(address, max_size=None)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(
            ProcessLookupError
        ):  # its own children write into the profile, too
            os.killpg(self._program.pid, signal.SIGKILL)
        self._program.wait()
        until(self._forgets)

    def _forgets(self) -> bool:
        shutil.rmtree(self._profile, ignore_errors=True)
        return not self._profile.exists()

    def open(self, url: str, *words: str) -> str:
        """Open an address and wait for words; what the page says, links to and is filled in with."""
        self._say("Page.navigate", url=url)
        shown = ""

        def is_shown() -> bool:
            nonlocal shown
            shown = str(
                self._say("Runtime.evaluate", expression=_SHOWN, returnByValue=True)[
                    "result"
                ].get("value")
            )
            return all(word in shown for word in words)

        try:
            until(is_shown, seconds=20)
        except AssertionError:
            pytest.fail(f"{url} does not show {words}:\n{shown}")
        return shown

    def picture(self, height: int = 0) -> bytes:
        """The page as a PNG, of this height if it is given."""
        if height:
            size = {"width": 1360, "height": height, "deviceScaleFactor": 1}
            self._say("Emulation.setDeviceMetricsOverride", **size, mobile=False)
            time.sleep(3)  # until it is drawn anew
        return base64.b64decode(self._say("Page.captureScreenshot")["data"])

    def _say(self, method: str, **parameters: Any) -> Record:
        number = next(self._ids)
        self._page.send(
            json.dumps({"id": number, "method": method, "params": parameters})
        )
        while True:
            answer = json.loads(self._page.recv(60))
            if answer.get("id") == number:
                return dict(answer.get("result", {}))
