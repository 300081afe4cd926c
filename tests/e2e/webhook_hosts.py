"""Where the webhooks run: each takes what Twilio posts, over HTTP, and records it in the embedded stack."""

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from smsretry.local.demo.run import ROOT
from smsretry.local.process.http import LocalServer
from smsretry.local.stack import SENDER, Stack
from smsretry.local.twilio.callbacks import Callback, inbound_form, signed
from smsretry.webhooks import webhook
from tests.support.builders import PHONE

URL = "https://app.example/twilio"
BARBER = "AC" + "1" * 32
TOKEN, NEXT = "1" * 32, "7" * 32
"""The barber's, and the one that it is exchanged for."""
_TOKENS = {BARBER: [TOKEN, NEXT], "AC" + "2" * 32: ""}
"""Of accounts beside the environment's. One was left empty."""
Webhook = Callable[..., int]
"""Takes what Twilio posts, and perhaps what somebody added to it; answers with an HTTP status."""
_HERE = Path(__file__).parent
_WEBHOOKS = ROOT / "smsretry" / "webhooks"
_PACKAGES = ("twilio@6.2.0", "typescript@7.0.2", "@types/node@26.6.6")
_CALLED_AS_A_ROUTE = """
import { POST } from "./route.js"
Deno.serve((request) => (request.method === "POST" ? POST(request) : new Response(null, { status: 405 })))
"""


def posting(url: str) -> Webhook:
    """Posts to a webhook that is reached there: the path and the query are those that Twilio calls."""

    http = httpx.Client()

    def post(callback: Callback, *, added: str = "") -> int:
        called = urlsplit(callback.url)
        address = f"{url}{called.path}" + (f"?{called.query}" if called.query else "")
        return http.post(
            address, content=callback.body + added.encode(), headers=callback.headers
        ).status_code

    return post


def texted(
    body: str, *, account: str, token: str, to: str = SENDER, service: str | None = None
) -> Callback:
    """An incoming text, signed with this token."""
    form = inbound_form(
        phone=PHONE, body=body, to=to, opt_out_type=None, messaging_service_sid=service
    )
    return signed(URL, form, account_sid=account, auth_token=token)


def environment_of(stack: Stack) -> dict[str, str]:
    """The settings of a webhook that knows several accounts."""
    return {
        **stack.environment(),
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


def in_python(stack: Stack, _directory: Path) -> AbstractContextManager[str]:
    """The package's own."""
    return application(environment_of(stack))


def in_deno(stack: Stack, directory: Path) -> AbstractContextManager[str]:
    """The Edge Function, run by Node with as much of Deno as it needs."""
    function = (_WEBHOOKS / "edge_function.ts").read_text(encoding="utf-8")
    environment = environment_of(
        stack
    )  # as Supabase gives it the secret keys now; older projects have the one key
    environment["SUPABASE_SECRET_KEYS"] = json.dumps(
        {"default": environment.pop("SUPABASE_SERVICE_ROLE_KEY")}
    )
    return _node(directory, function, environment)


def in_next(stack: Stack, directory: Path) -> AbstractContextManager[str]:
    """The route of Next.js, compiled with twilio-node, and called as Next.js calls it. Needs npm and its registry."""
    (directory / "package.json").write_text('{"type": "module"}', encoding="utf-8")
    shutil.copy(_WEBHOOKS / "route.ts", directory)
    _run(directory, "npm", "install", "--silent", "--no-audit", "--no-fund", *_PACKAGES)
    _run(
        directory,
        "npx",
        "tsc",
        "--strict",
        "--skipLibCheck",
        "--module",
        "nodenext",
        "--types",
        "node",
        "route.ts",
    )
    return _node(directory, _CALLED_AS_A_ROUTE, environment_of(stack))


HOSTS = [
    pytest.param(in_python, id="python"),
    pytest.param(in_deno, id="deno"),
    pytest.param(in_next, id="next", marks=pytest.mark.long),
]


def _run(directory: Path, *command: str) -> None:
    """In that directory. Skips the test where there is no npm."""
    if shutil.which(command[0]) is None:
        pytest.skip(f"no {command[0]}")
    result = subprocess.run(
        command, cwd=directory, capture_output=True, text=True, timeout=300, check=False
    )
    assert result.returncode == 0, result.stdout + result.stderr


@contextmanager
def _node(
    directory: Path, source: str, environment: Mapping[str, str]
) -> Iterator[str]:
    node = shutil.which("node")
    if node is None:
        pytest.skip("no Node: install version 18 or later")
    script = directory / "webhook.mjs"
    script.write_text(f"import {str(_HERE / 'deno.mjs')!r}\n{source}", encoding="utf-8")
    with subprocess.Popen(
        [node, str(script)],
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        finally:
            process.kill()
