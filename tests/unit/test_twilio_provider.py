"""What a request to Twilio carries besides number and body, what it means that no answer comes, how Twilio lists a
message, and a send without the SDK.
"""

import json
import socket
import ssl
import sys
import threading
import time
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from itertools import product
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import UUID

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import Receive, Scope, Send
from urllib3.exceptions import ProtocolError, ProxyError

from smsretry.adapters.twilio.accounts import Accounts
from smsretry.adapters.twilio.http import TwilioHttp, outcome_of_exception
from smsretry.adapters.twilio.lists import read_list
from smsretry.adapters.twilio.provider import TwilioProvider
from smsretry.local.process.http import LocalServer
from smsretry.retry.evidence import find
from smsretry.retry.models import Attempt, SenderId, Text
from smsretry.retry.outcome import Accepted, InDoubt, NotSent, Outcome
from smsretry.settings import Settings
from tests.support.builders import (
    ACCOUNT,
    BODY,
    NOON,
    PHONE,
    SENDER,
    SID,
    attempt,
)
from tests.support.wire import read_message


@pytest.fixture
def posted() -> Iterator[tuple[str, list[dict[str, list[str]]]]]:
    """Something that accepts each text, and the forms that it was sent."""
    forms = list[dict[str, list[str]]]()

    async def accept(scope: Scope, receive: Receive, send: Send) -> None:
        form = parse_qs((await Request(scope, receive).body()).decode())
        forms.append(form)
        answer = {"sid": SID, "to": form["To"][0], "body": form["Body"][0]}
        await JSONResponse(answer, 201)(scope, receive, send)

    with LocalServer(accept) as server:
        yield server.url, forms


def settings(
    base_url: str = "http://127.0.0.1:9", callback: str | None = None
) -> Settings:
    """Of a sender whose requests go to this address."""
    return Settings.model_validate(
        {
            "supabase_url": "https://project.supabase.co", "supabase_service_role_key": "key",
            "twilio_account_sid": ACCOUNT, "twilio_auth_token": "token", "twilio_from_number": "+12125550100",
            "twilio_base_url": base_url, "twilio_status_callback_url": callback,
            "twilio_connect_timeout_seconds": 0.5, "twilio_read_timeout_seconds": 0.5,
        }
    )  # fmt: skip


def text(valid_for: timedelta = timedelta(hours=1), *, to: str = PHONE) -> Text:
    """A text that may be kept so long."""
    return Text(
        attempt_id=UUID(int=5),
        sender=SenderId(ACCOUNT, "+12125550100"),
        to=to,
        body=BODY,
        valid_for=valid_for,
    )


def test_the_sdk_s_own_variables_say_where_twilio_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """And who cannot reach it is told of that host."""
    monkeypatch.setenv("TWILIO_REGION", "ie1")
    monkeypatch.setenv("TWILIO_EDGE", "dublin")
    here = settings().model_copy(update={"twilio_base_url": None})
    http = TwilioHttp(here, Accounts(here))
    url = http.client(None).get_hostname("https://api.twilio.com/x")
    assert (urlsplit(http.address).netloc, url) == (
        "api.dublin.ie1.twilio.com",
        "https://api.dublin.ie1.twilio.com/x",
    )


def test_a_request_carries_how_long_it_is_valid_and_where_to_report(
    posted: tuple[str, list[dict[str, list[str]]]],
) -> None:
    """Rounded down to seconds, from one to ten hours. Twilio calls back even when its answer to us was lost."""
    base_url, forms = posted
    for valid_for, seconds in (
        (-3600.0, 1),
        (0.999, 1),
        (10.999, 10),
        (36_000, 36_000),
        (172_800, 36_000),
    ):
        with TwilioProvider(settings(base_url)) as sender:
            assert sender.send(text(timedelta(seconds=valid_for))) == Accepted(SID)
        assert forms[-1]["ValidityPeriod"] == [str(seconds)]
    for query, called in {
        "": "?",
        "?shop=5": "?shop=5&",
        "?empty=": "?empty=&",
        "?note=a%20b": "?note=a+b&",
    }.items():
        with TwilioProvider(
            settings(base_url, f"https://example.com/twilio{query}")
        ) as sender:
            sender.send(text())
        assert forms[-1]["StatusCallback"] == [
            f"https://example.com/twilio{called}attempt={UUID(int=5)}"
        ]


def test_an_answer_speaks_for_its_own_text_alone(
    posted: tuple[str, list[dict[str, list[str]]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A send that failed before its request would have been called sent, by the answer to the thread's last one."""
    with TwilioProvider(settings(posted[0])) as sender:
        assert sender.send(text()) == Accepted(SID)
        monkeypatch.setattr(
            "twilio.rest.api.v2010.account.message.MessageList.create",
            lambda *_, **__: 1 / 0,
        )
        assert isinstance(sender.send(text()), InDoubt)


def test_an_sdk_that_cannot_be_loaded_sends_nothing_and_leaves_no_doubt(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """No request has left, so the text may be sent once the installation is mended. No message is called absent."""
    monkeypatch.setitem(sys.modules, "smsretry.adapters.twilio.http", None)
    with TwilioProvider(settings()) as sender:
        assert isinstance(sender.send(text()), NotSent)
        look = sender.look_up(PHONE, sender=SenderId(None, None), since=NOON, at=NOON)
        assert look.unread
        assert sender.fetch_report(SID, account=None).says_nothing


# No answer comes


@contextmanager
def peer(
    answer: str, *, trickles: bool = False, tls: ssl.SSLContext | None = None
) -> Iterator[tuple[str, list[str]]]:
    """The URL of something that answers each request so and hangs up, and the heads of those requests.

    Args:
        trickles: a byte of the answer comes each 20 ms.
    """
    heads = list[str]()

    def answer_one(connection: socket.socket) -> None:
        heads.append(read_message(connection.makefile("rb")).decode(errors="replace"))
        pieces = [answer[i : i + 1] for i in range(len(answer))]
        for piece in pieces if trickles else [answer]:
            connection.sendall(piece.encode())
            time.sleep(0.02 if trickles else 0)

    def serve() -> None:
        while listening.fileno() >= 0:
            with suppress(OSError):
                connection, _ = listening.accept()
                with (
                    tls.wrap_socket(connection, server_side=True)
                    if tls
                    else connection as stream
                ):
                    answer_one(stream)

    with socket.create_server(("127.0.0.1", 0)) as listening:
        threading.Thread(target=serve, daemon=True).start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}", heads


def outcome(base_url: str, **environment: str) -> Outcome:
    """What becomes of a text that is sent to this address from such an environment."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "REQUESTS_CA_BUNDLE"):
            patch.delenv(name, raising=False)
            patch.delenv(name.lower(), raising=False)
        for name, value in environment.items():
            patch.setenv(name, value)
        with TwilioProvider(settings(base_url)) as sender:
            return sender.send(text())


TWILIO = "https://twilio.invalid"
NOWHERE = "http://127.0.0.1:9"
BASIC = "Basic " + b64encode(b"ann:secret").decode()
MESSAGE = json.dumps({"sid": SID, "to": PHONE, "body": BODY})
ACCEPTED = f"HTTP/1.1 201 Created\r\nContent-Length: {len(MESSAGE)}\r\n\r\n{MESSAGE}"


def test_a_request_that_never_left_was_not_sent() -> None:
    """It may be made again without fear of a second text."""
    with (
        peer("HTTP/1.1 407 Proxy Authentication Required\r\n\r\n") as (proxy, _),
        peer("") as (hangs_up, _),
        socket.create_server(("127.0.0.1", 0)) as silent,
    ):
        for base_url, environment in (
            (hangs_up.replace("http", "https"), {}),
            (proxy.replace("http", "https"), {}),
            (f"https://127.0.0.1:{silent.getsockname()[1]}", {}),
            (NOWHERE, {}),
            (TWILIO, {}),
            (TWILIO, {"HTTPS_PROXY": NOWHERE}),
            (TWILIO, {"HTTPS_PROXY": "http://nowhere.invalid:9"}),
            (TWILIO, {"HTTPS_PROXY": proxy}),
            (TWILIO, {"HTTPS_PROXY": "http://"}),
            (TWILIO, {"REQUESTS_CA_BUNDLE": "/nowhere"}),
        ):
            assert isinstance(outcome(base_url, **environment), NotSent), (
                base_url,
                environment,
            )


def test_a_request_that_may_have_left_is_in_doubt() -> None:
    """Twilio may have made the message before the connection broke. No word of an error is quoted."""
    for answer in ("", ACCEPTED[:-1], PHONE):
        with peer(answer) as (url, heads):
            for base_url, environment in (
                (url, {}),
                ("http://twilio.invalid", {"HTTP_PROXY": url}),
            ):
                doubt = outcome(base_url, **environment)
                assert isinstance(doubt, InDoubt), (answer, environment)
                assert PHONE not in doubt.why
                assert heads.pop()
    for error in (
        ProtocolError(PHONE),
        ProxyError(PHONE, OSError()),
        ValueError(PHONE),
    ):
        doubt = outcome_of_exception(error)
        assert isinstance(doubt, InDoubt), error
        assert PHONE not in doubt.why


def test_an_answer_that_trickles_ends_with_the_time_out() -> None:
    """Each byte would begin the socket's own time-out anew, and the send would outlast its lease."""
    with peer(ACCEPTED, trickles=True) as (url, _):
        assert isinstance(outcome(url), InDoubt)


def test_nobody_but_twilio_gets_a_text(tmp_path: Path) -> None:
    """A server whose certificate nobody trusts reads not a byte of a request."""
    certificate = self_signed(tmp_path)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate)
    with peer(ACCEPTED, tls=tls) as (url, heads):
        url = url.replace("http", "https")
        assert isinstance(outcome(url), NotSent)
        assert heads == []
        trusted = {"REQUESTS_CA_BUNDLE": str(certificate)}
        assert outcome(url, **trusted) == Accepted(SID)


def self_signed(folder: Path) -> Path:
    """A file with a certificate of 127.0.0.1 that vouches for itself, and its key."""
    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([])
    addresses = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))])
    today = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), 1)
        .not_valid_before(today - timedelta(days=1))
        .not_valid_after(today + timedelta(days=1))
        .add_extension(addresses, critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    file = folder / "server.pem"
    file.write_bytes(
        certificate.public_bytes(pem)
        + key.private_bytes(
            pem,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return file


def test_a_request_takes_the_way_that_the_environment_names() -> None:
    """Through a proxy, with its password, or around it."""
    proxied, around = "http://twilio.invalid", {"HTTP_PROXY": NOWHERE}
    with peer(ACCEPTED) as (url, heads):
        by_proxy = {"HTTP_PROXY": url.replace("//", "//ann:secret@")}
        assert outcome(proxied, **by_proxy) == Accepted(SID)
        assert heads[0].startswith(f"POST {proxied}/2010-04-01/")
        assert f"Proxy-Authorization: {BASIC}".casefold() in heads[0].casefold()
        assert outcome(url, **around, NO_PROXY="127.0.0.1") == Accepted(SID)
        assert heads[1].startswith("POST /2010-04-01/")


PREFIX = "Sent from your Twilio trial account - "
LISTED = [
    # what we sent, what Twilio shows, whether it is the same text
    (BODY, f"{PREFIX}{BODY}", True),
    (f"  {BODY}", f"{PREFIX}{BODY}", True),
    (BODY, f"{PREFIX}{BODY} Reply STOP to unsubscribe", False),
    (BODY, f"Dear customer: {BODY}", False),
    ("Hi Ann", f"Hi Ann {PREFIX}", False),
    (BODY, None, False),
    (BODY, PREFIX, False),
]


class Page:
    """A list with one message, as the SDK gives it."""

    next_page_url = None

    def __init__(self, **message: object) -> None:
        defaults = {"sid": SID, "to": PHONE, "date_created": NOON}
        self._listing = iter([SimpleNamespace(**(defaults | message))])

    def __next__(self) -> object:
        return next(self._listing)

    def page(self, **_: object) -> "Page":
        return self

    def next_page(self) -> None:
        """It is the last one."""


def test_a_listed_text_is_read_without_a_trial_s_words_and_however_its_sender_is_written() -> (
    None
):
    """At any other place the words are somebody's text, and it is ambiguous. Twilio lists SIDs in lower case."""
    http: Any = SimpleNamespace(answer=lambda: None)
    for (ours, body, same), (sent_by, is_ours) in product(
        LISTED, (("MG" + "AB" * 16, True), (SENDER, False))
    ):
        listed = Page(
            body=body,
            direction="outbound-api",
            from_=None,
            messaging_service_sid="MG" + "ab" * 16,
        )
        look = read_list(listed, http, PHONE, sent_by=sent_by, since=NOON, at=NOON)
        matches = find(
            look,
            Attempt.model_validate(attempt(body=ours)),
            doubted_at=NOON,
        )
        expected = ((SID,), ()) if same else ((), (SID,))
        assert (matches.ours, matches.ambiguous) == (
            expected if is_ours else ((), ())
        ), body


def test_a_text_that_went_out_by_rcs_is_one_to_its_number() -> None:
    """A messaging service may choose the channel. Another channel's address is another's."""
    http: Any = SimpleNamespace(answer=lambda: None)
    for address, to in (
        (f"rcs:{PHONE}", PHONE),
        (f"whatsapp:{PHONE}", f"whatsapp:{PHONE}"),
        ("+1212555XXXX", None),
    ):
        listed = Page(
            to=address,
            body=BODY,
            direction="outbound-api",
            from_="rcs:maple_street",
            messaging_service_sid=SENDER,
        )
        look = read_list(listed, http, PHONE, sent_by=SENDER, since=NOON, at=NOON)
        assert [sighting.to for sighting in look.sightings] == [to]
