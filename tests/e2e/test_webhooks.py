"""The webhooks that are ready, against the embedded stack: what Twilio signs, and what others try.

One is the package's own. The other is copied into somebody's project, and runs here in Deno and in Next.js. What only
the package's own has comes last.
"""

import json
import logging
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from uuid import UUID

import httpx
import pytest
from starlette.applications import Starlette
from starlette.routing import Mount

from smsretry.adapters.supabase.queue import SupabaseQueue
from smsretry.adapters.twilio.provider import TwilioProvider
from smsretry.adapters.twilio.webhook import read_event
from smsretry.errors import SettingsError
from smsretry.local.demo.run import ROOT
from smsretry.local.process.child_process import inherited
from smsretry.local.process.http import LocalServer, free_port
from smsretry.local.stack import SENDER, Stack
from smsretry.local.twilio.callbacks import Callback, signed
from smsretry.local.twilio.faults import AcceptThenDrop
from smsretry.local.twilio.ledger import Entry
from smsretry.local.twilio.standin import TwilioStandin
from smsretry.sending.webhook_events import IncomingText
from smsretry.settings import load
from smsretry.webhooks import webhook as python_webhook
from smsretry.webhooks.settings import WebhookSettings
from tests.conftest import Business
from tests.e2e.documents import Document
from tests.e2e.webhook_hosts import (
    BARBER,
    COPY,
    HOSTS,
    NEXT,
    SHARED_KEY,
    TOKEN,
    URL,
    Serving,
    Webhook,
    application,
    check,
    environment_of,
    posting,
    project_of_next,
    texted,
)
from tests.integration.hearing import (
    another,
    consents_of,
    environment_sends_from,
    sends_from,
)
from tests.support.builders import PHONE, forget_settings, run
from tests.support.npm import npm_tool
from tests.support.records import columns

pytestmark = pytest.mark.filterwarnings(
    "ignore:The '(timeout|verify)' parameter is deprecated:DeprecationWarning"
)
STOPPED = [("opted_out", "inbound_stop")]


@pytest.fixture(scope="module", params=HOSTS)
def host(
    request: pytest.FixtureRequest,
    running_stack: Stack,
) -> Iterator[Webhook]:
    """Each of them, started once."""
    with request.param(environment_of(running_stack)) as url:
        yield posting(url)


@pytest.fixture
def webhook(host: Webhook, stack: Stack) -> Webhook:
    """It, with a stack that is as good as new."""
    return host


def in_doubt(
    business: Business, stack: Stack, queue: SupabaseQueue, phone: str = PHONE
) -> tuple[UUID, Entry]:
    """A text that Twilio has, with a status callback; its answer was lost."""
    row = business.due_text(phone=phone)
    settings = stack.environment() | {"TWILIO_STATUS_CALLBACK_URL": URL}
    stack.twilio.fail(AcceptThenDrop())
    values = {name.lower(): value for name, value in settings.items()}
    with TwilioProvider(stack.settings().model_validate(values)) as sender:
        assert run(queue, sender) == ["InDoubt"]
    [entry] = stack.twilio.ledger.entries(phone)
    return row, entry


def test_a_report_settles_its_own_text_and_says_how_far_it_has_come_and_nothing_else_does(
    webhook: Webhook, stack: Stack, business: Business, queue: SupabaseQueue
) -> None:
    """A forged signature, other words, another account's own; a field more or twice, another path, host or protocol;
    signed as it must be, with the attempt of another business. Reports may come in any order, and again.
    """
    text, entry = in_doubt(business, stack, queue)
    neighbors, _ = in_doubt(another(business), stack, queue, phone="+12125550177")
    other_attempt = business.attempts_of(neighbors)[0]["id"]
    genuine = stack.twilio.callback(entry.sid, "undelivered", 30008)
    attempt = genuine.url.partition("attempt=")[2]
    theirs = TwilioStandin(account_sid=BARBER, auth_token=TOKEN, senders={SENDER})
    strangers = TwilioStandin(
        account_sid="AC" + "9" * 32, auth_token="9" * 32, senders={SENDER}
    )
    for standin, callback in ((theirs, URL), (strangers, genuine.url)):
        standin.ledger.put(replace(entry, status_callback=callback))

    main = stack.twilio.accounts.main

    def signed_for(url: str, **changes: str) -> Callback:
        return signed(
            url,
            {**genuine.form, **changes},
            account_sid=main.sid,
            auth_token=main.auth_token,
        )

    def all_of_it() -> list[object]:
        return [
            [business.attempts_of(row), business.row(row)] for row in (text, neighbors)
        ]

    before = all_of_it()
    forged = [
        *(
            replace(genuine, signature=forged)
            for forged in ("forged", "A" * 27 + "=", "")
        ),
        replace(genuine, form=genuine.form | {"MessageStatus": "failed"}),
        replace(genuine, form={}),
        strangers.callback(entry.sid, "delivered"),
        replace(
            signed_for(f"{URL}?attempt={attempt}&b=1"),
            url=f"{URL}?b=1&attempt={attempt}",
        ),
        replace(genuine, url=f"{URL}?attempt={attempt}&attempt={attempt}"),
        signed_for(f"{URL}/?attempt={attempt}"),
        signed_for(f"http{URL.removeprefix('https')}?attempt={attempt}"),
        signed_for(f"{URL.replace('app.', 'evil.')}?attempt={attempt}"),
    ]
    answers = [webhook(callback) for callback in forged]
    answers += [
        webhook(genuine, added=more) for more in ("&MessageStatus=delivered", "&X=1")
    ]
    assert {*answers} <= {308, 400, 403}, "Next.js redirects from a trailing slash"
    assert webhook(theirs.callback(entry.sid, "undelivered", 30006)) == 204
    assert all_of_it() == before

    late = [
        stack.twilio.callback(entry.sid, status)
        for status in ("sent", "delivered", "queued", "sending")
    ]
    assert [webhook(callback) for callback in [*late, *late]] == [204] * 8
    assert (business.row(text)["status"], business.log_of(text)["status"]) == (
        "completed",
        "delivered",
    )
    settled = all_of_it()
    named = [f"{URL}?attempt={attempt}" for attempt in (other_attempt, "x", "", "%00")]
    assert [webhook(signed_for(url)) for url in named] == [422, 204, 204, 204]
    assert (
        webhook(signed_for(URL, MessageSid="SM" + "4" * 32, SmsSid="SM" + "4" * 32))
        == 204
    )
    assert all_of_it() == settled
    [neighbor] = stack.twilio.ledger.entries("+12125550177")
    assert webhook(stack.twilio.callback(neighbor.sid, "undelivered", 30008)) == 204
    [recorded] = business.attempts_of(neighbors)
    assert columns(recorded, "delivery_status", "delivery_code") == (
        "undelivered",
        30008,
    )


def test_stop_and_start_that_come_in_are_recorded_at_the_account_that_signs(
    webhook: Webhook, stack: Stack, business: Business
) -> None:
    """Whatever a text is made of, by the word of Advanced Opt-Out or by its own; and a signature never expires, so it
    counts once. The parent's token, a stranger's, and none fit nothing of a subaccount's.
    """
    business.customer()

    def says(body: str, opt_out_type: str | None = None) -> str:
        incoming = stack.twilio.inbound(
            URL, phone=PHONE, body=body, to=SENDER, opt_out_type=opt_out_type
        )
        assert webhook(incoming) == 200
        [(consent, _)] = consents_of(business)
        return str(consent)

    for body in (
        "1 + 1 = 2 & 100%",
        "%2B%00",
        "Ёлки 🎄 \u200e",
        "",
        "hello\0",
        "🎄" * 800,
    ):
        assert says(body) == "opted_in"
    said = [
        says("Arrêt", "STOP"),
        says("help", "HELP"),
        says("Começar", "START"),
        says("please\u200b stop texting me"),
    ]
    assert said == ["opted_out", "opted_out", "opted_in", "opted_out"]
    start = stack.twilio.inbound(URL, phone=PHONE, body="start", to=SENDER)
    for again in (
        start,
        stack.twilio.inbound(URL, phone=PHONE, body="ST\0OP", to=SENDER),
        start,
        start,
    ):
        assert webhook(again) == 200
        stack.move_clock(timedelta(minutes=1))
    assert consents_of(business) == STOPPED

    barber, service, parent = another(business), "MG" + "1" * 32, stack.environment()
    sends_from(barber, BARBER, service)
    barber.customer()
    for account, token, answer in (
        (BARBER, parent["TWILIO_AUTH_TOKEN"], 403), (parent["TWILIO_ACCOUNT_SID"], TOKEN, 403),
        ("AC" + "2" * 32, "", 403), ("AC" + "3" * 32, "3" * 32, 403), ("__proto__", "undefined", 403), ("", "", 403),
        ("constructor", "function Object() { [native code] }", 403), (BARBER, TOKEN, 200),
    ):  # fmt: skip
        assert consents_of(barber) == [("opted_in", None)]
        assert (
            webhook(
                texted(
                    "stop",
                    account=account,
                    token=token,
                    to="+12125550190",
                    service=service,
                )
            )
            == answer
        )
    assert consents_of(barber) == STOPPED
    assert webhook(texted("hello", account=BARBER, token=NEXT)) == 200, (
        "both count while a token is exchanged"
    )


def test_an_account_speaks_for_no_sender_of_another_s(
    webhook: Webhook, stack: Stack, business: Business
) -> None:
    """A business with an account of its own has the token that signs for it, and may name any sender."""
    barber, account = another(business), stack.environment()["TWILIO_ACCOUNT_SID"]
    sends_from(barber, BARBER, "MG" + "1" * 32)
    environment_sends_from(business, account, SENDER)
    business.customer()

    def says(word: str, *, forged: bool) -> str:
        stack.move_clock(timedelta(minutes=1))
        incoming = (
            texted(word, account=BARBER, token=TOKEN, to="+12125550190", service=SENDER)
            if forged
            else stack.twilio.inbound(URL, phone=PHONE, body=word, to=SENDER)
        )
        assert webhook(incoming) == 200
        [(consent, _)] = consents_of(business)
        return str(consent)

    assert says("stop", forged=True) == "opted_in"
    assert says("stop", forged=False) == "opted_out"
    assert says("start", forged=True) == "opted_out"
    assert says("start", forged=False) == "opted_in"


def test_a_shared_key_signs_while_a_webhook_rule_is_in_force(
    webhook: Webhook, business: Business
) -> None:
    """By the algorithm that the header names, and no other; a secret that is not the account's signs nothing."""
    sends_from(business, BARBER, "MG" + "1" * 32)
    business.customer()

    def says(body: str, secret: str = SHARED_KEY) -> Callback:
        return texted(body, account=BARBER, token=TOKEN, to=SENDER, shared_key=secret)

    stop = says("stop")
    settings = stop.signature_settings
    for forged in (
        says("stop", "another key"),
        replace(stop, signature_settings=""),
        replace(stop, signature_settings=settings.replace("256", "512")),
        replace(stop, signature_settings=settings.replace("SHA256", "SHA1")),
    ):
        assert webhook(forged) == 403
    assert consents_of(business) == [("opted_in", None)]
    spaced = settings.replace(",", " , ")
    assert webhook(replace(stop, signature_settings=spaced)) == 200
    assert consents_of(business) == STOPPED
    assert webhook(replace(says("hello"), signature_settings="key=1")) == 403
    assert webhook(texted("hello", account=BARBER, token=TOKEN)) == 200


def test_an_address_may_be_signed_with_its_port_and_what_is_no_form_of_a_text_is_refused(
    webhook: Webhook,
) -> None:
    """As all three answer: other kinds of bodies, more than Twilio posts, a field twice, a call's form."""

    def posted(url: str, **form: str) -> Callback:
        text = {"MessageSid": "SM" + "4" * 32, "From": PHONE, "Body": "hello", **form}
        return signed(url, {**text}, account_sid=BARBER, auth_token=TOKEN)

    assert webhook(posted("https://app.example:443/twilio")) == 200
    for wrong in ("https://app.example:80/twilio", "http://app.example/twilio"):
        assert webhook(posted(wrong)) == 403
    genuine = posted(URL)
    for kind in ("application/json", "multipart/form-data", ""):
        assert webhook(genuine, **{"Content-Type": kind}) == 415
    form = "Application/x-www-form-urlencoded; charset=utf-8"
    assert webhook(genuine, **{"Content-Type": form}) == 200
    assert webhook(genuine, added="&Body=hello") == 400
    assert webhook(genuine, added="a" * 200_000) == 413
    assert webhook(posted(URL, SmsStatus="sent")) == 422, "a text of ours"
    assert webhook(posted(URL, MessageSid="", CallSid="CA0")) == 422


@pytest.mark.parametrize("serving", HOSTS)
def test_a_project_s_older_key_will_do(
    serving: Serving, stack: Stack, business: Business
) -> None:
    """It is a token, and goes in both headers. A wrong key is no reason to lose a STOP: Twilio may call again."""
    business.customer()
    stop = stack.twilio.inbound(URL, phone=PHONE, body="stop", to=SENDER)
    keys = {"SUPABASE_SECRET_KEY": ""}
    for key, answer in (
        (f"{stack.key('service_role')[:-4]}AAAA", 503),
        (stack.key("service_role"), 200),
    ):
        keys["SUPABASE_SERVICE_ROLE_KEY"] = key
        with serving(environment_of(stack) | keys) as url:
            assert posting(url)(stop) == answer
    assert consents_of(business) == STOPPED


def test_the_copy_passes_the_checks_of_the_project_that_it_is_copied_into() -> None:
    """Deno's, and with Next.js's own types, which know what a route may export, the strict ones of TypeScript."""
    check(npm_tool("deno"), "check", COPY)
    with project_of_next() as project:
        check(npm_tool("next"), "typegen", project)
        check(npm_tool("tsc"), "--strict", "--noEmit", "--project", project)


# What only the package's own has


def test_what_twilio_says_of_a_text_is_recorded_in_full(stack: Stack) -> None:
    """Which of our senders heard it decides at whom it is a stop."""
    main, service = stack.twilio.accounts.main, "MG" + "1" * 32
    posted = texted("stop", account=main.sid, token=main.auth_token, service=service)
    form, signature, sid = posted.body, posted.signature, posted.form["SmsSid"]
    said = read_event(
        stack.settings(), [URL], {}, query="", form=form, signature=signature
    )
    assert said == IncomingText(sid, PHONE, "stop", None, SENDER, service, main.sid)


COMPLETE = {
    "SUPABASE_URL": "http://127.0.0.1:9", "SUPABASE_SERVICE_ROLE_KEY": "key", "TWILIO_ACCOUNT_SID": BARBER,
    "TWILIO_AUTH_TOKEN": TOKEN, "TWILIO_WEBHOOK_URL": URL,
}  # fmt: skip
"""All that it needs; the database is nowhere."""
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


def test_what_twilio_never_posts_is_refused_and_an_address_is_compared_as_it_is_written_at_twilio(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Other methods, kinds of bodies, sizes and forms. Several addresses count, with the port or without, and a proxy
    has no say of the host and the protocol.
    """
    forget_settings(monkeypatch)
    addresses = [URL, "https://two.example:8443/a%20b", "http://three.example/"]
    reported = {"TWILIO_STATUS_CALLBACK_URL": "https://four.example/s?tenant=1#rc=3"}
    with application(
        COMPLETE | {"TWILIO_WEBHOOK_URL": " ".join(addresses)} | reported
    ) as url:
        for method in ("GET", "PUT", "DELETE"):
            answer = httpx.request(method, f"{url}/twilio")
            assert (answer.status_code, answer.headers["allow"]) == (405, "POST")
        assert httpx.post(url, json={"MessageStatus": "delivered"}).status_code == 415
        endless = (
            b"a" * 30_000 for _ in range(4)
        )  # without a Content-Length nobody knows before
        assert [
            httpx.post(url, content=it, headers=FORM).status_code
            for it in (b"a" * 200_000, endless)
        ] == [413, 413]
        forms = [
            b"",
            b"\x00\xff\xfe",
            b"%",
            b"AccountSid=%ff",
            f"AccountSid={BARBER}".encode(),
            b"a=1&" * 1000,
        ]
        assert {
            httpx.post(url, content=form, headers=FORM).status_code for form in forms
        } <= {400, 403}
        call: dict[str, str | None] = {"CallSid": "CA0"}
        once = signed(URL, call, account_sid=BARBER, auth_token=TOKEN)
        assert posting(url)(once, added="&CallSid=CA0") == 400, "a field is there twice"
        ours = call | {"MessageSid": "SM0", "From": SENDER, "SmsStatus": "sent"}
        sent = signed(URL, ours, account_sid=BARBER, auth_token=TOKEN)
        assert posting(url)(sent) == 422, "a text of ours"
        odd = httpx.Headers({**FORM, "X-Twilio-Signature": "é"}, encoding="latin-1")
        assert httpx.post(url, content=forms[4], headers=odd).status_code == 403

        def post(signed_for: str, query: str = "") -> int:
            callback = signed(
                signed_for + query,
                call,
                account_sid=BARBER,
                auth_token=TOKEN,
            )
            proxied = {
                **callback.headers,
                "X-Forwarded-Host": "evil.example",
                "X-Forwarded-Proto": "http",
            }
            return httpx.post(
                f"{url}/elsewhere{query}", content=callback.body, headers=proxied
            ).status_code

        fitting = [
            *addresses,
            "https://app.example:443/twilio",
            "http://three.example:80/",
            "https://four.example/s",
        ]
        assert {post(address, "?attempt=1&b=%2B+%C3%BC%20") for address in fitting} == {
            422
        }, "a call is no text"
        others = [
            "http://app.example/twilio",
            "https://app.example/twilio/",
            "https://evil.example/twilio",
        ]
        assert {post(address) for address in others} == {403}


def test_whoever_starts_or_mounts_it_learns_what_is_missing(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Each variable by its name, and no value. Mounted, it answers 503 until all is right: Twilio may call again."""
    forget_settings(monkeypatch)
    wrong = {
        "TWILIO_AUTH_TOKENS": json.dumps({BARBER: "a\nsecret"}),
        "TWILIO_WEBHOOK_URL": f"{URL} https://b?c",
    }
    for name, value in {**COMPLETE, **wrong}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError) as raised:
        load(WebhookSettings)
    forget_settings(monkeypatch)
    tokens, addresses = str(raised.value).splitlines()[1:]
    assert "TWILIO_AUTH_TOKENS: has a line break" in tokens
    assert "TWILIO_WEBHOOK_URL: must be the address that Twilio calls" in addresses
    with (
        pytest.raises(RuntimeError, match="did not start"),
        LocalServer(python_webhook()),
    ):
        pass
    with LocalServer(Starlette(routes=[Mount("/twilio", python_webhook())])) as server:
        assert httpx.get(f"{server.url}/twilio/health").text == "ok\n"
        assert (
            httpx.post(
                f"{server.url}/twilio", headers=FORM, follow_redirects=True
            ).status_code
            == 503
        )
        assert re.search(
            "SUPABASE_URL: is not set(?s:.*): set TWILIO_WEBHOOK_URL, or TWILIO_STATUS",
            caplog.text,
        )
        for name, value in {**COMPLETE, "TWILIO_ACCOUNTS": "nothing"}.items():
            monkeypatch.setenv(name, value)
        assert httpx.post(f"{server.url}/twilio/", headers=FORM).status_code == 403
        others = texted("hello", account="AC" + "3" * 32, token="theirs")
        answer = httpx.post(
            f"{server.url}/twilio/", content=others.body, headers=others.headers
        )
        assert (answer.status_code, "TWILIO_ACCOUNTS" in answer.text) == (503, True)


def test_what_is_not_recorded_is_a_line_of_the_log_that_quotes_no_text(
    stack: Stack, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Here the database refuses the key, which its owner learns; and there is a bug."""
    secret = "My secret is 4711"
    genuine = stack.twilio.inbound(URL, phone=PHONE, body=secret, to=SENDER)
    wrong = environment_of(stack) | {"SUPABASE_SECRET_KEY": "x"}
    with caplog.at_level(logging.DEBUG), application(wrong) as url:
        assert posting(url)(genuine) == 503
        assert posting(url)(replace(genuine, signature="forged")) == 403
        bug = property(lambda _: dict[str, str]()[secret])
        monkeypatch.setattr(SupabaseQueue, "record", bug)
        assert posting(url)(genuine) == 500
    ours = [
        record.getMessage()
        for record in caplog.records
        if record.name == "smsretry.webhooks"
    ]
    assert re.match(r"Supabase refused the key \(HTTP 401: ", ours[0])
    assert ours[1].startswith("HTTP 403: The signature fits no address")
    assert ours[2].startswith("Unforeseen KeyError at test_webhooks.py")
    assert not [
        word
        for word in (secret, "4711", PHONE, PHONE[1:], "My sec")
        if word in caplog.text
    ]


@pytest.mark.long
def test_the_command_that_is_shown_serves_it_and_twilio_may_call_again_while_the_database_is_away(
    stack: Stack, business: Business
) -> None:
    """uvicorn, as a process of its own: it starts, hears, and ends in order when a supervisor stops it."""
    business.customer()
    stop = stack.twilio.inbound(URL, phone=PHONE, body="stop", to=SENDER)
    stack.rpc_faults.bad_gateway("record_inbound_sms", times=3)
    url, environment = (
        f"http://127.0.0.1:{(port := free_port())}",
        {**inherited(), **environment_of(stack)},
    )
    [shown] = [
        words
        for words in Document(ROOT / "smsretry/webhooks/README.md").commands()
        if words[0] == "uvicorn"
    ]
    command = [sys.executable, "-m", *shown, "--port", str(port)]
    with subprocess.Popen(
        command, env=environment, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stderr is not None
            assert any("Uvicorn running" in line for line in process.stderr)
            assert httpx.get(f"{url}/health").text == "ok\n"
            assert [posting(url)(stop), posting(url)(stop)] == [503, 200]
        finally:
            process.send_signal(signal.SIGTERM)
            rest = process.communicate()[1]
    assert "Application shutdown complete" in rest
    assert consents_of(business) == STOPPED
