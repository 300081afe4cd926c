"""The commands of flows/ where Prefect's API cannot be used: one sentence that says what to do, and no traceback."""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from smsretry.local.demo.run import ROOT
from smsretry.local.process.guarded_process import inherited


@pytest.fixture(scope="module")
def refusing() -> Iterator[str]:
    """The URL of an API that answers 401."""

    class Refusing(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(401)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name it overrides
            """Nothing on the terminal."""

    server = HTTPServer(("127.0.0.1", 0), Refusing)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/api"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize(
    ("module", "url", "words"),
    [
        ("flows.automations", None, "PREFECT_API_URL is not set: set it to the address of the Prefect server's API, "),
        (
            "flows.serve",
            "http://127.0.0.1:9/api",
            "Prefect's API at 127.0.0.1:9 does not answer (ConnectError): check PREFECT_API_",
        ),
        (
            "flows.serve",
            "refusing",
            " asks for an auth string: set PREFECT_API_AUTH_STRING to the server's, here and on the runner.",
        ),
    ],
)
def test_an_api_that_cannot_be_used_is_told_in_one_sentence(
    module: str, url: str | None, words: str, refusing: str, tmp_path: os.PathLike[str]
) -> None:
    """Without an address Prefect would start a temporary server, on which everything would run and nobody look."""
    environment = {**inherited(), "PREFECT_HOME": str(tmp_path)}  # no profile of the user's
    if url:
        environment["PREFECT_API_URL"] = refusing if url == "refusing" else url
    done = subprocess.run(
        [sys.executable, "-m", module],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout) == (1, "")
    [line] = done.stderr.splitlines()
    assert words in line
