"""`smsretry.webhooks` as a server runs it: what it needs, what it refuses, and what it says in its log."""

import asyncio
import json
import logging
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import replace
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import httpx
import pytest
from twilio.request_validator import RequestValidator

from smsretry.errors import SettingsError
from smsretry.local.process.http import free_port
from smsretry.local.stack import SENDER, Stack
from smsretry.local.twilio.callbacks import Callback, inbound_message
from smsretry.settings import load
from smsretry.webhooks import Webhook, asgi
from smsretry.webhooks.settings import WebhookSettings
from tests.conftest import Business
from tests.e2e.webhook_hosts import BARBER, URL, application, environment_of, posting
from tests.integration.hearing import consents_of
from tests.support.builders import PHONE, forget_settings

COMPLETE: Final = {
    "SUPABASE_URL": "http://127.0.0.1:9",
    "SUPABASE_SERVICE_ROLE_KEY": "key",
    "TWILIO_ACCOUNT_SID": "AC" + "0" * 32,
    "TWILIO_AUTH_TOKEN": "0" * 32,
    "TWILIO_WEBHOOK_URL": URL,
}
"""All that it needs; the database is nowhere."""
FORM: Final = {"Content-Type": "application/x-www-form-urlencoded"}


def texted(body: str, *, account: str, token: str, url: str = URL) -> Callback:
    """An incoming text, signed with this token."""
    return inbound_message(
        url, phone=PHONE, body=body, to=SENDER, opt_out_type=None, account_sid=account, auth_token=token
    )


def test_a_form_that_does_not_come_keeps_no_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    """Anybody may call, and drip one forever: the server's places would all be theirs."""
    forget_settings(monkeypatch)
    for name, value in COMPLETE.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(asgi, "_MOST_SECONDS", 0)
    sent: list[MutableMapping[str, Any]] = []

    async def receive() -> MutableMapping[str, Any]:
        return await asyncio.Event().wait() and {}

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    headers = [(b"content-type", FORM["Content-Type"].encode())]
    scope = {"type": "http", "method": "POST", "path": "/", "query_string": b"", "headers": headers}
    with closing(Webhook()) as webhook:
        asyncio.run(webhook(scope, receive, send))
    assert [message.get("status") for message in sent] == [408, None]


@pytest.fixture
def nowhere(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of one whose database is nowhere."""
    forget_settings(monkeypatch)
    with application(COMPLETE) as url:
        yield url


def test_what_twilio_never_posts_is_refused_before_it_is_read(nowhere: str) -> None:
    """Another method, another kind of body, and ten megabytes, of which not one is waited for."""
    for method in ("GET", "HEAD", "PUT", "DELETE", "OPTIONS"):
        answer = httpx.request(method, f"{nowhere}/twilio")
        assert (answer.status_code, answer.headers["allow"]) == (405, "POST")
    assert httpx.post(f"{nowhere}/twilio", json={"MessageStatus": "delivered"}).status_code == 415
    assert httpx.post(f"{nowhere}/twilio").status_code == 415
    promised = HTTPConnection(urlsplit(nowhere).netloc)
    with closing(promised):
        promised.putrequest("POST", "/twilio")
        for name, value in {**FORM, "Content-Length": "10000000"}.items():
            promised.putheader(name, value)
        promised.endheaders()
        assert promised.getresponse().status == 413


def test_a_form_that_does_not_end_is_refused_once_it_is_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a Content-Length nobody knows before. What the caller never finishes gets no answer."""
    forget_settings(monkeypatch)
    for name, value in COMPLETE.items():
        monkeypatch.setenv(name, value)
    piece = {"type": "http.request", "body": b"a" * 30_000, "more_body": True}

    async def asked(*messages: dict[str, Any]) -> list[MutableMapping[str, Any]]:
        told: list[MutableMapping[str, Any]] = []
        rest = iter(messages)

        async def receive() -> dict[str, Any]:
            return next(rest)

        async def send(message: MutableMapping[str, Any]) -> None:
            told.append(message)

        headers = [(name.lower().encode(), value.encode()) for name, value in FORM.items()]
        scope = {"type": "http", "method": "POST", "path": "/", "query_string": b"", "headers": headers}
        webhook = Webhook()
        await webhook(scope, receive, send)
        webhook.close()
        return told

    assert asyncio.run(asked(*[piece] * 4))[0]["status"] == 413
    assert asyncio.run(asked(piece, {"type": "http.disconnect"})) == []


def test_a_form_that_is_none_is_refused(nowhere: str) -> None:
    """Empty, random, cut off, in another encoding, and of a thousand fields."""
    forms = [b"", b"\x00\xff\xfe", b"%", b"AccountSid=%ff", b"AccountSid=AC" + b"0" * 32, b"a=1&" * 1000, b"&&&==="]
    answers = [httpx.post(nowhere, content=form, headers=FORM).status_code for form in forms]
    assert set(answers) <= {400, 403}
    odd = httpx.Headers({**FORM, "X-Twilio-Signature": "é"}, encoding="latin-1")
    assert httpx.post(nowhere, content=forms[4], headers=odd).status_code == 403


def test_what_twilio_signed_and_is_about_no_text_is_told_apart(nowhere: str) -> None:
    """A call's callback has another address to go to."""
    call = texted("", account=COMPLETE["TWILIO_ACCOUNT_SID"], token=COMPLETE["TWILIO_AUTH_TOKEN"])
    form = {"AccountSid": call.form["AccountSid"], "CallSid": "CA" + "0" * 32, "CallStatus": "completed"}
    signed = signed_by(COMPLETE["TWILIO_AUTH_TOKEN"], URL, form)
    assert posting(nowhere)(signed) == 422


def test_an_address_is_compared_as_it_is_written_at_twilio(monkeypatch: pytest.MonkeyPatch) -> None:
    """Several count, with the port or without, and whatever a proxy says of the host and the protocol."""
    forget_settings(monkeypatch)
    several = f"{URL} https://two.example:8443/a%20b?x http://three.example"
    with pytest.raises(SettingsError, match="TWILIO_WEBHOOK_URL: must be the address that Twilio calls"):
        with_environment(monkeypatch, COMPLETE | {"TWILIO_WEBHOOK_URL": several})
    addresses = [URL, "https://two.example:8443/a%20b", "http://three.example/"]
    reported = {"TWILIO_STATUS_CALLBACK_URL": "https://four.example/s?tenant=1#rc=3"}
    with application(COMPLETE | {"TWILIO_WEBHOOK_URL": " ".join(addresses)} | reported) as url:
        token = COMPLETE["TWILIO_AUTH_TOKEN"]

        def post(signed_for: str, query: str = "") -> int:
            callback = signed_by(token, signed_for + query, {"AccountSid": COMPLETE["TWILIO_ACCOUNT_SID"]})
            proxied = {**callback.headers, "X-Forwarded-Host": "evil.example", "X-Forwarded-Proto": "http"}
            return httpx.post(f"{url}/elsewhere{query}", content=callback.body, headers=proxied).status_code

        fitting = [*addresses, "https://app.example:443/twilio", "http://three.example:80/", "https://four.example/s"]
        assert [post(address, "?attempt=1&b=%2B+%C3%BC%20") for address in fitting] == [422] * len(fitting)
        others = ["http://app.example/twilio", "https://app.example/twilio/", "https://evil.example/twilio"]
        assert [post(address) for address in others] == [403] * len(others)


def test_a_server_that_starts_it_is_told_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each variable by its name, and no value."""
    forget_settings(monkeypatch)
    wrong = {"TWILIO_AUTH_TOKENS": '{"AC": "secret"}', "TWILIO_WEBHOOK_URL": "app.example"}
    with pytest.raises(SettingsError) as raised:
        with_environment(monkeypatch, {**COMPLETE, **wrong})
    assert str(raised.value).splitlines() == [
        "Settings are not complete:",
        '  TWILIO_AUTH_TOKENS: must be JSON like {"AC…": "token", "AC…": ["token", "another"]}',
        "  TWILIO_WEBHOOK_URL: must be the address that Twilio calls, https://<host>/<path>, without a query; several "
        "are separated by spaces",
    ]
    for name in ("TWILIO_AUTH_TOKENS", "TWILIO_WEBHOOK_URL", "TWILIO_AUTH_TOKEN"):
        monkeypatch.delenv(name)
    with pytest.raises(SettingsError) as raised:
        load(WebhookSettings)
    assert str(raised.value).splitlines()[1:] == [
        "  TWILIO_AUTH_TOKEN is not set",
        "  Set TWILIO_WEBHOOK_URL, or TWILIO_STATUS_CALLBACK_URL",
    ]


def test_a_framework_that_mounts_it_learns_of_its_settings_by_the_first_request(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It is answered 503 until they are right: Twilio may call again."""
    forget_settings(monkeypatch)
    told: list[MutableMapping[str, Any]] = []

    async def send(message: MutableMapping[str, Any]) -> None:
        told.append(message)

    scope = {"type": "http", "method": "GET", "path": "/twilio/health", "query_string": b"", "headers": []}
    asyncio.run(Webhook()(scope, _nothing, send))
    assert told[0]["status"] == 503
    assert "SUPABASE_URL is not set" in caplog.text


def test_a_server_does_not_start_it_without_its_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is told why, in the words of the settings."""
    forget_settings(monkeypatch)
    told: list[MutableMapping[str, Any]] = []

    async def send(message: MutableMapping[str, Any]) -> None:
        told.append(message)

    async def receive() -> dict[str, Any]:
        return {"type": "lifespan.startup"}

    asyncio.run(Webhook()({"type": "lifespan"}, receive, send))
    [failed] = told
    assert failed["type"] == "lifespan.startup.failed"
    assert "TWILIO_AUTH_TOKEN is not set" in failed["message"]


async def _nothing() -> dict[str, Any]:
    raise AssertionError("It was asked for a body")


def test_two_tokens_count_while_an_account_exchanges_its_token_and_a_file_is_read_again(
    stack: Stack, business: Business, tmp_path: Path
) -> None:
    """The first and the second of the main account; another account's from the runner's file, beside an API key."""
    business.customer()
    main, own = stack.environment()["TWILIO_ACCOUNT_SID"], stack.environment()["TWILIO_AUTH_TOKEN"]
    file = tmp_path / "accounts.json"

    def listed(**entry: str) -> None:
        new = tmp_path / "new"
        new.write_text(json.dumps({BARBER: entry}), encoding="utf-8")
        new.replace(file)

    key = {"api_key_sid": "SK" + "1" * 32, "api_key_secret": "s"}
    listed(**key)
    given = {"TWILIO_AUTH_TOKENS": json.dumps({main: ["next", ""]}), "TWILIO_ACCOUNTS_FILE": str(file)}
    with application(environment_of(stack) | given) as url:
        post = posting(url)
        said = [post(texted("hello", account=main, token=token)) for token in (own, "next", "", "old")]
        assert said == [200, 200, 403, 403]
        assert post(texted("hello", account=BARBER, token="barbers")) == 403
        listed(**key, auth_token="barbers")
        assert post(texted("hello", account=BARBER, token="barbers")) == 200
        file.write_text("{", encoding="utf-8")
        assert post(texted("hello", account=BARBER, token="barbers")) == 503
        assert post(texted("stop", account=main, token=own)) == 200
    assert consents_of(business) == [("opted_out", "inbound_stop")]


def test_many_at_once_are_all_recorded(stack: Stack, business: Business) -> None:
    """A morning's replies: each is answered, and counts."""
    phones = [f"+1212555{number:04}" for number in range(100, 120)]
    for phone in phones:
        business.customer(phone=phone)
    with application(environment_of(stack)) as url, ThreadPoolExecutor(20) as pool:
        stops = [stack.twilio.inbound(URL, phone=phone, body="stop", to=SENDER) for phone in phones]
        assert set(pool.map(posting(url), stops)) == {200}
    assert consents_of(business) == [("opted_out", "inbound_stop")] * len(phones)


def test_a_blink_of_the_database_is_not_told_to_twilio(stack: Stack, business: Business) -> None:
    """Twilio calls again after an error only if its address says so."""
    business.customer()
    stack.rpc_faults.bad_gateway("record_inbound_sms")
    with application(environment_of(stack)) as url:
        assert posting(url)(stack.twilio.inbound(URL, phone=PHONE, body="stop", to=SENDER)) == 200
    assert consents_of(business) == [("opted_out", "inbound_stop")]


def test_a_key_that_is_refused_is_an_owners_trouble_and_no_line_quotes_a_text(
    stack: Stack, caplog: pytest.LogCaptureFixture
) -> None:
    """Nor any other line, of us or of the libraries."""
    secret = "My secret is 4711"
    with caplog.at_level(logging.DEBUG), application(environment_of(stack) | {"SUPABASE_SERVICE_ROLE_KEY": "x"}) as url:
        genuine = stack.twilio.inbound(URL, phone=PHONE, body=secret, to=SENDER)
        assert posting(url)(genuine) == 503
        assert posting(url)(replace(genuine, signature="forged")) == 403
    ours = [record.getMessage() for record in caplog.records if record.name == "smsretry.webhooks"]
    assert re.match(r"Supabase refused the key \(HTTP 401\)", ours[0])
    assert ours[1].startswith("HTTP 403: The signature fits no address")
    assert not [word for word in (secret, "4711", PHONE, PHONE[1:], "My sec") if word in caplog.text]


@pytest.mark.long
def test_the_command_that_is_shown_serves_it(stack: Stack, business: Business) -> None:
    """uvicorn, as a process of its own: it starts, hears, and ends in order."""
    business.customer()
    with serving(environment_of(stack)) as url:
        assert httpx.get(f"{url}/health").text == "ok\n"
        assert posting(url)(stack.twilio.inbound(URL, phone=PHONE, body="stop", to=SENDER)) == 200
    assert consents_of(business) == [("opted_out", "inbound_stop")]


@pytest.mark.long
def test_twilio_may_call_again_while_the_database_is_away(stack: Stack, business: Business) -> None:
    """It was tried three times."""
    business.customer()
    stop = stack.twilio.inbound(URL, phone=PHONE, body="stop", to=SENDER)
    stack.rpc_faults.bad_gateway("record_inbound_sms", times=3)
    with application(environment_of(stack)) as url:
        assert posting(url)(stop) == 503
        assert posting(url)(stop) == 200
    assert consents_of(business) == [("opted_out", "inbound_stop")]


def signed_by(token: str, url: str, form: dict[str, str]) -> Callback:
    """What an account with this token posts."""
    return Callback(url, form, RequestValidator(token).compute_signature(url, form))


def with_environment(monkeypatch: pytest.MonkeyPatch, environment: dict[str, str]) -> WebhookSettings:
    """The settings of this environment. Raises SettingsError."""
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    return load(WebhookSettings)


def _command(port: int) -> list[str]:
    return [sys.executable, "-m", "uvicorn", "smsretry.webhooks:app", "--port", str(port)]


def _clean() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith(("TWILIO_", "SUPABASE_"))}


@contextmanager
def serving(environment: dict[str, str]) -> Iterator[str]:
    """uvicorn with this environment; its address. At the end it is stopped as a supervisor stops it."""
    port = free_port()
    command = [*_command(port), "--no-access-log"]
    with subprocess.Popen(command, env=_clean() | environment, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            assert any("Uvicorn running" in line for line in process.stderr)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.send_signal(signal.SIGTERM)
            rest = process.communicate()[1]
        assert "Application shutdown complete" in rest
