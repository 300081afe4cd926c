"""`smsretry.webhooks` as a server runs it: what it needs, what it refuses, and what it says in its log."""

import json
import logging
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import replace
from http.client import HTTPConnection
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import httpx
import pytest
from starlette.applications import Starlette
from starlette.routing import Mount

from smsretry.errors import SettingsError
from smsretry.local.process.http import LocalServer, free_port
from smsretry.local.stack import SENDER, Stack
from smsretry.local.twilio.callbacks import signed
from smsretry.settings import load
from smsretry.webhooks import webhook
from smsretry.webhooks.settings import WebhookSettings
from tests.conftest import Business
from tests.e2e.webhook_hosts import BARBER, URL, application, environment_of, posting, texted
from tests.integration.hearing import consents_of
from tests.support.builders import PHONE, forget_settings

ACCOUNT, TOKEN = "AC" + "0" * 32, "0" * 32
COMPLETE: Final = {
    "SUPABASE_URL": "http://127.0.0.1:9",
    "SUPABASE_SERVICE_ROLE_KEY": "key",
    "TWILIO_ACCOUNT_SID": ACCOUNT,
    "TWILIO_AUTH_TOKEN": TOKEN,
    "TWILIO_WEBHOOK_URL": URL,
}
"""All that it needs; the database is nowhere."""
FORM: Final = {"Content-Type": "application/x-www-form-urlencoded"}


@pytest.fixture
def nowhere(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of one whose database is nowhere."""
    forget_settings(monkeypatch)
    with application(COMPLETE) as url:
        yield url


def test_what_twilio_never_posts_is_refused_before_it_is_read(nowhere: str) -> None:
    """Another method, another kind of body, ten megabytes of which not one is waited for, and a form without an end."""
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
    pieces = (b"a" * 30_000 for _ in range(4))  # without a Content-Length nobody knows before
    assert httpx.post(f"{nowhere}/twilio", content=pieces, headers=FORM).status_code == 413


def test_a_form_that_is_none_is_refused(nowhere: str) -> None:
    """Empty, random, cut off, in another encoding, and of a thousand fields."""
    forms = [b"", b"\x00\xff\xfe", b"%", b"AccountSid=%ff", f"AccountSid={ACCOUNT}".encode(), b"a=1&" * 1000, b"&&&==="]
    answers = [httpx.post(nowhere, content=form, headers=FORM).status_code for form in forms]
    assert set(answers) <= {400, 403}
    odd = httpx.Headers({**FORM, "X-Twilio-Signature": "é"}, encoding="latin-1")
    assert httpx.post(nowhere, content=forms[4], headers=odd).status_code == 403
    call = signed(URL, {"CallSid": "CA" + "0" * 32}, account_sid=ACCOUNT, auth_token=TOKEN)
    assert posting(nowhere)(call) == 422, "a call's callback has another address to go to"


def test_an_address_is_compared_as_it_is_written_at_twilio(monkeypatch: pytest.MonkeyPatch) -> None:
    """Several count, with the port or without, and whatever a proxy says of the host and the protocol."""
    forget_settings(monkeypatch)
    addresses = [URL, "https://two.example:8443/a%20b", "http://three.example/"]
    reported = {"TWILIO_STATUS_CALLBACK_URL": "https://four.example/s?tenant=1#rc=3"}
    with application(COMPLETE | {"TWILIO_WEBHOOK_URL": " ".join(addresses)} | reported) as url:

        def post(signed_for: str, query: str = "") -> int:
            callback = signed(signed_for + query, {}, account_sid=ACCOUNT, auth_token=TOKEN)
            proxied = {**callback.headers, "X-Forwarded-Host": "evil.example", "X-Forwarded-Proto": "http"}
            return httpx.post(f"{url}/elsewhere{query}", content=callback.body, headers=proxied).status_code

        fitting = [*addresses, "https://app.example:443/twilio", "http://three.example:80/", "https://four.example/s"]
        assert [post(address, "?attempt=1&b=%2B+%C3%BC%20") for address in fitting] == [422] * len(fitting)
        others = ["http://app.example/twilio", "https://app.example/twilio/", "https://evil.example/twilio"]
        assert [post(address) for address in others] == [403] * len(others)


def test_a_server_that_starts_it_is_told_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each variable by its name, and no value."""
    forget_settings(monkeypatch)
    secret = "a\nsecret"
    wrong = {"TWILIO_AUTH_TOKENS": json.dumps({BARBER: secret}), "TWILIO_WEBHOOK_URL": f"{URL} https://b.example?c"}
    for name, value in {**COMPLETE, **wrong}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError) as raised:
        load(WebhookSettings)
    tokens, addresses = str(raised.value).splitlines()[1:]
    assert "TWILIO_AUTH_TOKENS: has a line break" in tokens
    assert "TWILIO_WEBHOOK_URL: must be the address that Twilio calls" in addresses
    for name in (*wrong, "TWILIO_AUTH_TOKEN"):
        monkeypatch.delenv(name)
    with pytest.raises(RuntimeError, match="did not start"), LocalServer(webhook()):
        pass
    with pytest.raises(SettingsError, match="TWILIO_AUTH_TOKEN is not set\n  Set TWILIO_WEBHOOK_URL, or TWILIO_STATUS"):
        load(WebhookSettings)


def test_a_framework_that_mounts_it_learns_of_its_settings_by_the_first_request(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It is answered 503 until they are right: Twilio may call again."""
    forget_settings(monkeypatch)
    with LocalServer(Starlette(routes=[Mount("/twilio", webhook())])) as server:
        assert httpx.get(f"{server.url}/twilio/health").text == "ok\n"
        assert httpx.post(f"{server.url}/twilio", headers=FORM, follow_redirects=True).status_code == 503
        assert "SUPABASE_URL is not set" in caplog.text
        for name, value in COMPLETE.items():
            monkeypatch.setenv(name, value)
        assert httpx.post(f"{server.url}/twilio/", headers=FORM).status_code == 403


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


def test_many_at_once_are_all_recorded_though_the_database_blinks(stack: Stack, business: Business) -> None:
    """A morning's replies: each counts. Twilio calls again after an error only if its address says so."""
    phones = [f"+1212555{number:04}" for number in range(100, 120)]
    for phone in phones:
        business.customer(phone=phone)
    stack.rpc_faults.bad_gateway("record_inbound_sms")
    with application(environment_of(stack)) as url, ThreadPoolExecutor(20) as pool:
        stops = [stack.twilio.inbound(URL, phone=phone, body="stop", to=SENDER) for phone in phones]
        assert set(pool.map(posting(url), stops)) == {200}
    assert consents_of(business) == [("opted_out", "inbound_stop")] * len(phones)


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
    assert re.match(r"Supabase refused the key \(HTTP 401: ", ours[0])
    assert ours[1].startswith("HTTP 403: The signature fits no address")
    assert not [word for word in (secret, "4711", PHONE, PHONE[1:], "My sec") if word in caplog.text]


@pytest.mark.long
def test_the_command_that_is_shown_serves_it_and_twilio_may_call_again_while_the_database_is_away(
    stack: Stack, business: Business
) -> None:
    """uvicorn, as a process of its own: it starts, hears, and ends in order."""
    business.customer()
    stop = stack.twilio.inbound(URL, phone=PHONE, body="stop", to=SENDER)
    stack.rpc_faults.bad_gateway("record_inbound_sms", times=3)
    with serving(environment_of(stack)) as url:
        assert httpx.get(f"{url}/health").text == "ok\n"
        assert [posting(url)(stop), posting(url)(stop)] == [503, 200]
    assert consents_of(business) == [("opted_out", "inbound_stop")]


@contextmanager
def serving(environment: dict[str, str]) -> Iterator[str]:
    """uvicorn with this environment; its address. At the end it is stopped as a supervisor stops it."""
    port = free_port()
    command = [sys.executable, "-m", "uvicorn", "smsretry.webhooks:app", "--port", str(port), "--no-access-log"]
    others = {name: value for name, value in os.environ.items() if not name.startswith(("TWILIO_", "SUPABASE_"))}
    with subprocess.Popen(command, env=others | environment, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            assert any("Uvicorn running" in line for line in process.stderr)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.send_signal(signal.SIGTERM)
            rest = process.communicate()[1]
        assert "Application shutdown complete" in rest
