"""Where the webhooks run: each takes what Twilio posts, over HTTP, and records it in the embedded stack."""

import json
import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import urlsplit

import httpx
import pytest

from smsretry.local.demo.run import ROOT
from smsretry.local.process.http import LocalServer, free_port
from smsretry.local.stack import SENDER, Stack
from smsretry.local.twilio.callbacks import Callback, inbound_form, signed
from smsretry.webhooks import webhook
from tests.support.builders import PHONE
from tests.support.npm import npm_tool
from tests.support.waiting import until

URL = "https://app.example/twilio"
BARBER = "AC" + "1" * 32
TOKEN, NEXT, SHARED_KEY = "1" * 32, "7" * 32, "a-shared-key"
"""The barber's token, the one that it is exchanged for, and what signs while a webhook rule is in force."""
_TOKENS = {BARBER: [TOKEN, NEXT, SHARED_KEY], "AC" + "2" * 32: ""}
"""Of accounts beside the environment's. One was left empty."""
Serving = Callable[[Mapping[str, str]], AbstractContextManager[str]]
"""Runs a webhook with these settings, at the address that it yields."""
Webhook = Callable[..., int]
"""Takes what Twilio posts, and perhaps what somebody added to it; answers with an HTTP status."""
COPY = ROOT / "smsretry" / "webhooks" / "webhook.ts"
_LAYOUT = """
export default function Layout({ children }: { children: React.ReactNode }) {
  return <html><body>{children}</body></html>
}
"""
_CONFIGURATION = "export default { turbopack: { root: import.meta.dirname + '/..' } }"
"""The packages lie above the project."""
_QUIET = {"DENO_NO_UPDATE_CHECK": "1", "NEXT_TELEMETRY_DISABLED": "1"}


def posting(url: str) -> Webhook:
    """Posts to a webhook that is reached there: the path and the query are those that Twilio calls."""

    http = httpx.Client(timeout=60)

    def post(callback: Callback, *, added: str = "", **headers: str) -> int:
        called = urlsplit(callback.url)
        address = f"{url}{called.path}" + (f"?{called.query}" if called.query else "")
        return http.post(
            address,
            content=callback.body + added.encode(),
            headers={**callback.headers, **headers},
        ).status_code

    return post


def texted(
    body: str,
    *,
    account: str,
    token: str,
    to: str = SENDER,
    service: str | None = None,
    shared_key: str | None = None,
) -> Callback:
    """An incoming text, signed with this token, or with a shared key."""
    form = inbound_form(
        phone=PHONE, body=body, to=to, opt_out_type=None, messaging_service_sid=service
    )
    return signed(
        URL, form, account_sid=account, auth_token=token, shared_key=shared_key
    )


def environment_of(stack: Stack) -> dict[str, str]:
    """The settings of a webhook that knows several accounts, with the project's secret key."""
    return {
        **stack.environment(),
        "SUPABASE_SERVICE_ROLE_KEY": "",
        "SUPABASE_SECRET_KEY": stack.opaque_key("service_role"),
        "TWILIO_WEBHOOK_URL": URL,
        "TWILIO_AUTH_TOKENS": json.dumps(_TOKENS),
    }


@contextmanager
def application(environment: Mapping[str, str]) -> Iterator[str]:
    """`smsretry.webhooks` with this environment; its address."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        with LocalServer(webhook()) as server:
            yield server.url


@contextmanager
def in_deno(environment: Mapping[str, str]) -> Iterator[str]:
    """The copy as an Edge Function, whose secret keys Supabase gives it in a variable of its own."""
    secret = environment.get("SUPABASE_SECRET_KEY")
    keys = {"SUPABASE_SECRET_KEYS": json.dumps({"default": secret} if secret else {})}
    port = free_port()
    address = {"DENO_SERVE_ADDRESS": f"tcp:127.0.0.1:{port}"}
    command = [str(npm_tool("deno")), "run", "--allow-env", "--allow-net", str(COPY)]
    with _serving(
        command, port, {**environment, "SUPABASE_SECRET_KEY": "", **keys, **address}
    ):
        yield f"http://127.0.0.1:{port}"


@contextmanager
def in_next(environment: Mapping[str, str]) -> Iterator[str]:
    """The copy as a route of Next.js; the address has the route's path."""
    port = free_port()
    with project_of_next() as directory:
        command = [
            str(npm_tool("next")),
            "dev",
            str(directory),
            "-H",
            "127.0.0.1",
            "-p",
            str(port),
        ]
        with _serving(command, port, environment):
            yield f"http://127.0.0.1:{port}"


HOSTS = [
    pytest.param(application, id="python"),
    pytest.param(in_deno, id="deno"),
    pytest.param(in_next, id="next"),
]


@contextmanager
def project_of_next() -> Iterator[Path]:
    """A project of Next.js with the copy at /twilio. It lies beside the packages, where Node looks for them."""
    beside = npm_tool("next").parents[2]
    with TemporaryDirectory(dir=beside, prefix="project-") as name:
        directory = Path(name)
        route = directory / "app" / "twilio"
        route.mkdir(parents=True)
        shutil.copy(COPY, route / "route.ts")
        (directory / "app" / "layout.tsx").write_text(_LAYOUT, encoding="utf-8")
        configuration = directory / "next.config.mjs"
        configuration.write_text(_CONFIGURATION, encoding="utf-8")
        yield directory


def check(*command: str | Path, cwd: Path = ROOT) -> None:
    """Run one of npm's programs, which must find nothing."""
    result = subprocess.run(
        command,
        cwd=cwd,
        env={**os.environ, **_QUIET},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr


@contextmanager
def _serving(
    command: Sequence[str], port: int, environment: Mapping[str, str]
) -> Iterator[None]:
    with subprocess.Popen(
        command,
        env={**os.environ, **environment, **_QUIET},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as process:
        try:
            until(lambda: _listens(port))
            yield
        finally:
            os.killpg(process.pid, signal.SIGKILL)


def _listens(port: int) -> bool:
    with socket.socket() as connection:
        return connection.connect_ex(("127.0.0.1", port)) == 0
